package spanfile

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"forkspan.dev/forkspan/journal"
)

// HasJournals tells whether path is a folder with journals in it.
func HasJournals(path string) bool {
	entries, err := os.ReadDir(path)
	return err == nil && slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		return strings.HasSuffix(e.Name(), ".journal")
	})
}

// ReadJournal takes a journal's spans, the unfinished ones too.
func (f *Reader) ReadJournal(j *journal.Journal) error {
	where := fmt.Sprintf("journal of process %d", j.PID)
	if j.Damaged > 0 {
		f.problem(where, fmt.Errorf("damaged files: %d", j.Damaged))
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

// ReadJournals takes the spans of all journals in a folder, those of live processes too, and leaves them there.
func (f *Reader) ReadJournals(dir string) error {
	for j, err := range journal.All(dir) {
		if err != nil {
			f.problem("journal", err)
		}
		if j == nil {
			continue
		}
		if err := f.ReadJournal(j); err != nil {
			return err
		}
	}
	return nil
}
