package store_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/store"
)

func init() { helpers["leave"] = leave }

const runsBeforeLeaving = 20

// leave writes runs and leaves the store.
func leave(args []string) error {
	s, err := store.Open(context.Background(), args[0], store.Options{})
	if err != nil {
		return err
	}
	for range runsBeforeLeaving {
		if err := s.PutRun(context.Background(), store.Run{ID: store.NewRunID(), Kind: "run", Start: time.Now()}); err != nil {
			return err
		}
	}
	return s.Leave()
}

// What was committed before Leave is there for the next process, and the journal does not grow without bound.
func TestLeave(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forkspan.db")
	const rounds = 12
	left := 0
	for range rounds {
		if err := helper("leave", path).Run(); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path + "-wal")
		if err != nil {
			continue // folded in
		}
		if left++; info.Size() > 1<<20 {
			t.Errorf("a journal of %d bytes is left", info.Size())
		}
	}
	if left == 0 {
		t.Error("no journal was ever left")
	}
	s, err := store.Open(t.Context(), path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	runs, err := s.Runs(t.Context())
	if err != nil || len(runs) != rounds*runsBeforeLeaving {
		t.Errorf("%d runs, %v", len(runs), err)
	}
}
