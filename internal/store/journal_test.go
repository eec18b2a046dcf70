package store_test

import (
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/store"
)

func TestJournalRuns(t *testing.T) {
	s, err := store.Open(t.Context(), store.Memory, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i, dir := range []string{"/b", "", "/a"} {
		run := store.Run{ID: store.NewRunID(), Kind: "run", Name: dir, Start: time.Unix(int64(9-i), 0), Journal: dir}
		if err := s.PutRun(t.Context(), run); err != nil {
			t.Fatal(err)
		}
	}
	runs, err := s.JournalRuns(t.Context())
	if err != nil || len(runs) != 2 || runs[0].Journal != "/a" || runs[1].Journal != "/b" {
		t.Fatalf("got %+v, %v", runs, err)
	}
	if err := s.SetJournal(t.Context(), runs[0].ID, ""); err != nil {
		t.Fatal(err)
	}
	if left, err := s.JournalRuns(t.Context()); err != nil || len(left) != 1 || left[0].ID != runs[1].ID {
		t.Errorf("got %+v, %v", left, err)
	}
	if all, err := s.Runs(t.Context()); err != nil || len(all) != 3 || all[2].Name != "/a" {
		t.Errorf("got %+v, %v", all, err)
	}
}
