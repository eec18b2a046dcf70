package store

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestInspect(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "a.db")
	if h, err := Inspect(ctx, path); err != nil || !h.Missing {
		t.Fatalf("%+v, %v", h, err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Fatal("it made the file")
	}
	s, err := Open(ctx, path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutRun(ctx, Run{ID: NewRunID(), Start: time.Now()}); err != nil {
		t.Fatal(err)
	}
	// Beside a process that writes.
	if h, err := Inspect(ctx, path); err != nil || h.Runs != 1 || !h.Complete || h.Damage != "" || h.Schema != h.Known || h.Bytes == 0 {
		t.Errorf("%+v, %v", h, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, damage := range []func(){
		func() { clear(b[4096:]) }, // the header stands
		func() {
			b = []byte("not a database at all, but longer than a header, which is a hundred bytes of text that SQLite reads first")
		},
	} {
		damage()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if h, err := Inspect(ctx, path); err != nil || h.Damage == "" {
			t.Errorf("%+v, %v", h, err)
		}
		if left, _ := filepath.Glob(path + ".damaged*"); len(left) > 0 {
			t.Error("it moved the file away")
		}
	}
	if _, err := Inspect(ctx, filepath.Dir(path)); err == nil {
		t.Error("a folder: no error")
	}
}
