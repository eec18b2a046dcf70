package store

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
)

func TestOpenSpans(t *testing.T) {
	ctx := t.Context()
	s, err := Open(ctx, filepath.Join(t.TempDir(), "a.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	id, other := otlp.SpanID{1}, otlp.TraceID{2}
	one := OpenSpan{TraceID: otlp.TraceID{1}, SpanID: id, Started: time.Now(), State: []byte("a")}
	two := one
	two.TraceID = other
	for _, span := range []OpenSpan{one, two} {
		if err := s.AddOpenSpan(ctx, span); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AddOpenSpan(ctx, one); !errors.Is(err, ErrExists) {
		t.Errorf("added twice: %v", err)
	}
	// Changes of several at once follow each other.
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			err := s.ChangeOpenSpan(ctx, other, id, func(o *OpenSpan) error {
				o.State = append(o.State, 'b')
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	refused := errors.New("no")
	if err := s.ChangeOpenSpan(ctx, other, id, func(o *OpenSpan) error { o.State = nil; return refused }); !errors.Is(err, refused) {
		t.Errorf("refused: %v", err)
	}
	if err := s.ChangeOpenSpan(ctx, otlp.TraceID{9}, id, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	if err := s.ChangeOpenSpan(ctx, one.TraceID, id, func(o *OpenSpan) error { o.Ended, o.State = true, nil; return nil }); err != nil {
		t.Error(err)
	}
	found, err := s.FindOpenSpans(ctx, id)
	if err != nil || len(found) != 2 {
		t.Fatalf("%v, %v", found, err)
	}
	for _, o := range found {
		if o.TraceID == other && (len(o.State) != 21 || o.Ended) || o.TraceID != other && (len(o.State) != 0 || !o.Ended) {
			t.Errorf("%+v", o)
		}
	}
}

func TestAddRunKeepsTheFirst(t *testing.T) {
	ctx := t.Context()
	s, err := Open(ctx, Memory, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i, name := range []string{"first", "second"} {
		if added, err := s.AddRun(ctx, Run{ID: "0123456789", Name: name}); err != nil || added != (i == 0) {
			t.Errorf("%s: %v, %v", name, added, err)
		}
	}
	if run, err := s.FindRun(ctx, "0123456789"); err != nil || run.Name != "first" {
		t.Errorf("%v, %v", run, err)
	}
}
