package store

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
)

// TestMigration opens a file of an older schema, first while somebody else has it open.
func TestMigration(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "forkspan.db")
	old, err := Open(ctx, path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := old.PutRun(ctx, Run{ID: "KEPT"}); err != nil {
		t.Fatal(err)
	}
	defer func(before []string) { migrations = before }(migrations)
	migrations = append(migrations[:len(migrations):len(migrations)], "ALTER TABLE run ADD COLUMN host TEXT NOT NULL DEFAULT 'here'")
	if s, err := Open(ctx, path, Options{}); err == nil || !strings.Contains(err.Error(), "older schema") {
		t.Errorf("while another has it open: %v", err)
		if err == nil {
			s.Close()
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s, err := Open(ctx, path, Options{Notify: func(msg string) { t.Error(msg) }})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := s.write.integer("SELECT count(*) FROM run WHERE id = 'KEPT' AND host = 'here'"); err != nil || n != 1 {
			t.Errorf("%d runs, %v", n, err)
		}
		if v, err := version(s.write); err != nil || v != len(migrations) {
			t.Errorf("version %d, %v", v, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
