package store_test

import (
	"bytes"
	"context"
	"math"
	"path/filepath"
	"testing"

	"forkspan.dev/forkspan/internal/store"
)

func TestPage(t *testing.T) {
	s := open(t, store.Memory, store.Options{})
	defer s.Close()
	var bodies [][]byte
	for range 10 {
		body := request(50, randomTrace())
		appendRequest(t, s, "OTHER", request(1, randomTrace()))
		appendRequest(t, s, "RUN", body)
		bodies = append(bodies, body)
	}
	ctx := context.Background()
	var got [][]byte
	pages, after := 0, int64(0)
	for {
		p, err := s.Page(ctx, "RUN", after, math.MaxInt64, 3000)
		if err != nil {
			t.Fatal(err)
		}
		if p.After != after {
			t.Errorf("a page begins after %d, want %d", p.After, after)
		}
		if p.Rows == 0 {
			break
		}
		err = p.Bodies(func(body []byte) error {
			got = append(got, bytes.Clone(body))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		pages++
		after = p.Last
	}
	if pages < 2 || len(got) != len(bodies) {
		t.Fatalf("%d pages, %d requests", pages, len(got))
	}
	for i := range got {
		if !bytes.Equal(got[i], bodies[i]) {
			t.Errorf("request %d is another", i)
		}
	}
	if p, err := s.Page(ctx, "RUN", 0, 4, math.MaxInt); err != nil || p.Rows != 2 || p.Last != 4 {
		t.Errorf("up to request 4: %d rows up to %d, %v", p.Rows, p.Last, err)
	}
}

// ranges are what of a run's requests is derived, as pairs of After and Last.
func ranges(t *testing.T, s *store.Store, run, kind string) (pairs [][2]int64) {
	t.Helper()
	list, err := s.Derived(context.Background(), run, kind)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		pairs = append(pairs, [2]int64{d.After, d.Last})
		data, err := s.DerivedData(context.Background(), run, kind, d)
		if err != nil || len(data) != d.Items {
			t.Errorf("data of %+v: %q, %v", d, data, err)
		}
	}
	return pairs
}

func TestDerived(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := open(t, path, store.Options{})
	for range 10 {
		appendRequest(t, s, "RUN", request(1, randomTrace()))
	}
	put := func(run, kind string, after, last int64, rows int) {
		t.Helper()
		d := store.Derived{After: after, Last: last, Rows: rows, Items: rows, Data: bytes.Repeat([]byte("x"), rows)}
		if err := s.PutDerived(context.Background(), run, kind, d); err != nil {
			t.Fatal(err)
		}
	}
	want := func(run, kind string, want ...[2]int64) {
		t.Helper()
		got := ranges(t, s, run, kind)
		if len(got) != len(want) {
			t.Fatalf("%v, want %v", got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%v, want %v", got, want)
			}
		}
	}
	put("RUN", "a", 4, 8, 4)
	put("RUN", "a", 0, 4, 4)
	want("RUN", "a", [2]int64{0, 4}, [2]int64{4, 8})
	want("RUN", "b")
	want("OTHER", "a")
	put("RUN", "a", 3, 10, 7) // instead of both
	want("RUN", "a", [2]int64{3, 10})
	put("RUN", "a", 0, 3, 3)
	want("RUN", "a", [2]int64{0, 3}, [2]int64{3, 10})
	put("RUN", "a", 0, 3, 4) // not these requests
	put("NONE", "a", 0, 3, 0)
	want("RUN", "a", [2]int64{0, 3}, [2]int64{3, 10})
	want("NONE", "a")

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	rawDB(t, path, "DELETE FROM request WHERE id = 2")
	s = open(t, path, store.Options{})
	defer s.Close()
	want("RUN", "a", [2]int64{3, 10})
	put("RUN", "a", 0, 3, 3) // worked out before the removal
	want("RUN", "a", [2]int64{3, 10})
	put("RUN", "a", 0, 3, 2)
	want("RUN", "a", [2]int64{0, 3}, [2]int64{3, 10})
	appendRequest(t, s, "KEPT", request(1, randomTrace()))
	put("KEPT", "a", 10, 11, 1)
	if err := s.Remove(context.Background(), "RUN"); err != nil {
		t.Fatal(err)
	}
	want("RUN", "a")
	want("KEPT", "a", [2]int64{10, 11})
	old := store.Derived{After: 0, Last: 3, Rows: 2, Items: 2}
	if data, err := s.DerivedData(context.Background(), "RUN", "a", old); data != nil || err != nil {
		t.Errorf("data of a removed run: %q, %v", data, err)
	}
}
