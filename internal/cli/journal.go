package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/journal"
)

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// hasJournals tells whether path is a folder with journals in it.
func hasJournals(path string) bool {
	entries, err := os.ReadDir(path)
	return err == nil && slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		return strings.HasSuffix(e.Name(), ".journal")
	})
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
	file := traceFile{request: func(body []byte, sum otlp.Summary) error {
		run.Account.Spans += int64(sum.Spans)
		return db.Append(ctx, run.ID, body, sum)
	}}
	unfinished := 0
	recovered := journal.Recover(ctx, dir, func(j *journal.Journal) error {
		unfinished += j.Unfinished
		return file.readJournal(j)
	})
	if errors.Is(recovered, journal.ErrBusy) || file.requests == 0 {
		err := recovered
		if err == nil {
			err = a.noJournals(dir)
		}
		return errors.Join(fmt.Errorf("import %s: %w", dir, err), a.warn(dir, file.problems), db.Remove(ctx, run.ID))
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
	return errors.Join(err, a.warn(dir, file.problems))
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

// readJournal takes a journal's spans, the unfinished ones too.
func (f *traceFile) readJournal(j *journal.Journal) error {
	where := fmt.Sprintf("journal of process %d", j.PID)
	if j.Damaged > 0 {
		f.problem(where, fmt.Errorf("%s damaged", counted(j.Damaged, "file is", "files are")))
	}
	for body := range j.Requests() {
		if err := f.take(where, body); err != nil {
			return err
		}
	}
	for body := range j.UnfinishedRequests() {
		if err := f.take(where, body); err != nil {
			return err
		}
	}
	return nil
}

// readJournals takes the spans of all journals in a folder, those of live processes too, and leaves them there.
func (f *traceFile) readJournals(dir string) error {
	for j, err := range journal.All(dir) {
		if err != nil {
			f.problem("journal", err)
		}
		if j == nil {
			continue
		}
		if err := f.readJournal(j); err != nil {
			return err
		}
	}
	return nil
}
