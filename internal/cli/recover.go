package cli

import (
	"context"
	"errors"
	"fmt"

	"forkspan.dev/forkspan/internal/recovery"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/journal"
)

// recovering returns a function that passes a store on that has been opened, after having put into it what runs that were
// killed have left in journals.
func (a *app) recovering(ctx context.Context) func(*store.Store, error) (*store.Store, error) {
	return func(db *store.Store, err error) (*store.Store, error) {
		if err == nil && !a.completing {
			a.recoverJournals(ctx, db, a.note)
		}
		return db, err
	}
}

// recoverJournals puts into the store what runs that were killed have left in journals. note is told what came of it, if anything.
func (a *app) recoverJournals(ctx context.Context, db *store.Store, note func(string)) {
	recovery.Runs(ctx, db, a.wantedStore(), a.Env, func(o recovery.Outcome) {
		if n := o.Finished + o.Unfinished; n > 0 {
			rest := ""
			if o.Unfinished > 0 {
				rest = fmt.Sprintf(", %d of them unfinished", o.Unfinished)
			}
			note(fmt.Sprintf("the run %s was cut off: %s recovered%s", shortID(o.Run.ID), counted(n, "span", "spans"), rest))
		}
		if o.Err != nil && !errors.Is(o.Err, journal.ErrBusy) && ctx.Err() == nil {
			note(fmt.Sprintf("recover the run %s from %s: %v", shortID(o.Run.ID), o.Run.Journal, o.Err))
		}
	})
}
