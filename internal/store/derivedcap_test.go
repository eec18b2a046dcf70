package store

import (
	"context"
	"path/filepath"
	"testing"

	"forkspan.dev/forkspan/internal/otlp"
)

// What can be worked out again goes before requests.
func TestSizeCapDropsDerivedFirst(t *testing.T) {
	ctx := context.Background()
	s, err := Open(ctx, filepath.Join(t.TempDir(), "db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const stored = 40
	for range stored {
		if err := s.Append(ctx, "RUN", []byte{}, otlp.Summary{}); err != nil {
			t.Fatal(err)
		}
	}
	for after := range int64(stored) {
		d := Derived{After: after, Last: after + 1, Rows: 1, Data: make([]byte, 1<<18)}
		if err := s.PutDerived(ctx, "RUN", "a", d); err != nil {
			t.Fatal(err)
		}
	}
	s.opts.MaxBytes = 7 << 20
	if err := s.enforceCaps(ctx); err != nil {
		t.Fatal(err)
	}
	page, err := s.Page(ctx, "RUN", 0, stored, 1<<20)
	if err != nil || page.Rows != stored {
		t.Errorf("%d requests are left, %v", page.Rows, err)
	}
	list, err := s.Derived(ctx, "RUN", "a")
	if err != nil || len(list) == 0 || len(list) > 28 {
		t.Errorf("%d parts are left, %v", len(list), err)
	}
}
