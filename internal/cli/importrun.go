package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"forkspan.dev/forkspan/internal/recovery"
	"forkspan.dev/forkspan/internal/spanfile"
	"forkspan.dev/forkspan/internal/store"
)

// importing is a file that is being imported: one run after the other.
type importing struct {
	*app
	db   *store.Store
	path string
	name string // --name
	file spanfile.Reader

	run    *store.Run // that the next request belongs to; nil before the first
	told   bool       // the file itself says what run is
	skip   bool       // it is in the store already
	before int        // problems before it
	spans  int64
}

// ofContent is the run that a file is which says nothing of runs: the same content is the same run.
func (i *importing) ofContent(id string) store.Run {
	name := filepath.Base(i.path)
	if i.path == "-" {
		name = "standard input"
	}
	return store.Run{ID: id, Kind: "import", Name: name, Start: time.Now()}
}

// begin makes run the one that requests belong to. Until end it is in the store as an import that goes on.
func (i *importing) begin(ctx context.Context, run store.Run, processes []store.Process) error {
	if i.name != "" {
		run.Name = i.name
	}
	i.told = run.Kind != "import" || !run.End.IsZero()
	i.run, i.skip, i.spans, i.before = &run, false, 0, spanfile.CountProblems(i.file.Problems)
	before, err := i.db.FindRun(ctx, run.ID)
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && before.ID != run.ID:
	case err != nil:
		return err
	case before.Kind == "import" && before.End.IsZero() && !stillWriting(before): // cut off halfway
		if err := i.db.Remove(ctx, before.ID); err != nil {
			return err
		}
	default:
		i.skip = true
		what := "was imported before"
		if before.Kind != "import" {
			what = "is in the store"
		}
		_, err := fmt.Fprintf(i.Stdout, "run %s: %s %s\n", before.ID, i.path, what)
		return err
	}
	unfinished := run
	unfinished.Kind, unfinished.End, unfinished.PID, unfinished.BootID = "import", time.Time{}, os.Getpid(), recovery.BootID()
	if err := i.db.PutRun(ctx, unfinished); err != nil {
		return err
	}
	return i.db.PutProcesses(ctx, run.ID, processes)
}

// end completes the run of the last request.
func (i *importing) end(ctx context.Context) error {
	if i.run == nil || i.skip {
		return nil
	}
	run := i.run
	damaged := spanfile.CountProblems(i.file.Problems) - i.before
	if i.told {
		run.Account.Spans = i.spans
		if damaged > 0 {
			run.Account.Dropped = map[string]int64{"damaged": int64(damaged)}
		}
		if err := i.db.PutRun(ctx, *run); err != nil {
			return err
		}
	} else {
		run.Account.Spans = i.spans
		if err := finishImport(ctx, i.db, run, &i.file); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(i.Stdout, "run %s: %s in %s from %s\n", run.ID, counted(int(i.spans), "span", "spans"),
		counted(int(run.Account.Traces), "trace", "traces"), i.path)
	return err
}
