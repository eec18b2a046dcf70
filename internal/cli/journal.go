package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/spanfile"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/journal"
)

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// importJournals puts what dead processes left in the folder dir into the store, as one run, and removes their journals.
func (a *app) importJournals(ctx context.Context, db *store.Store, dir, name string) error {
	if name == "" {
		absolute, err := filepath.Abs(dir)
		if err != nil {
			return fmt.Errorf("import %s: %w", dir, err)
		}
		name = filepath.Base(absolute)
	}
	run := store.Run{ID: store.NewRunID(), Kind: "import", Name: name, Start: time.Now(), PID: os.Getpid()}
	if err := db.PutRun(ctx, run); err != nil {
		return fmt.Errorf("import %s: %w", dir, err)
	}
	file := spanfile.Reader{Request: func(body []byte, sum otlp.Summary) error {
		run.Account.Spans += int64(sum.Spans)
		return db.Append(ctx, run.ID, body, sum)
	}}
	unfinished := 0
	recovered := journal.Recover(ctx, dir, func(j *journal.Journal) error {
		unfinished += j.Unfinished
		return file.ReadJournal(j)
	})
	if errors.Is(recovered, journal.ErrBusy) || file.Requests == 0 {
		err := recovered
		if err == nil {
			err = a.noJournals(dir)
		}
		return errors.Join(fmt.Errorf("import %s: %w", dir, err), a.warn(dir, file.Problems), db.Remove(ctx, run.ID))
	}
	if err := finishImport(ctx, db, &run, &file); err != nil {
		return fmt.Errorf("import %s: %w", dir, err)
	}
	note := ""
	if unfinished > 0 {
		note = fmt.Sprintf(", %d unfinished", unfinished)
	}
	_, err := fmt.Fprintf(a.Stdout, "run %s: %s in %s from %s%s\n", run.ID, counted(int(run.Account.Spans), "span", "spans"),
		counted(int(run.Account.Traces), "trace", "traces"), dir, note)
	if recovered != nil {
		err = errors.Join(err, fmt.Errorf("import %s: %w", dir, recovered))
	}
	return errors.Join(err, a.warn(dir, file.Problems))
}

// noJournals says why there is nothing to import from a folder.
func (a *app) noJournals(dir string) error {
	for j := range journal.All(dir) {
		if j != nil && j.Alive {
			return withHint(fmt.Errorf("process %d is still writing", j.PID), "forkspan show %s shows what is there", dir)
		}
	}
	return withHint(errors.New("no journals in it"), "a program writes them with forkspan.WithJournal")
}
