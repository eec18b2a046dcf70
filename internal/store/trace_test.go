package store_test

import (
	"context"
	"path/filepath"
	"testing"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

// count returns how many requests Trace yields for id, and how many spans of it they hold.
func count(t testing.TB, s *store.Store, id otlp.TraceID) (requests, spans int) {
	t.Helper()
	for r, err := range s.Trace(context.Background(), id) {
		if err != nil {
			t.Fatal(err)
		}
		requests++
		all, err := otlp.Decode(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		for i := range all {
			if all[i].TraceID == id {
				spans++
			}
		}
	}
	return requests, spans
}

// TestTraceIndex stores enough requests for several blocks of the index and a tail that no block covers yet.
func TestTraceIndex(t *testing.T) {
	for _, path := range []string{store.Memory, filepath.Join(t.TempDir(), "forkspan.db")} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			s := open(t, path, store.Options{})
			everywhere := randomTrace()
			var ids []otlp.TraceID
			const requests = 2500
			for range requests {
				id := randomTrace()
				ids = append(ids, id)
				appendRequest(t, s, "R", request(1, id, everywhere))
			}
			for i, id := range ids {
				if i%37 != 0 && i != requests-1 {
					continue
				}
				if n, spans := count(t, s, id); n != 1 || spans != 1 {
					t.Errorf("trace %d: %d requests with %d spans", i, n, spans)
				}
			}
			if n, spans := count(t, s, everywhere); n != requests || spans != requests {
				t.Errorf("trace of every request: %d requests with %d spans", n, spans)
			}
			if n, _ := count(t, s, randomTrace()); n != 0 {
				t.Errorf("a trace that is not there: %d requests", n)
			}
			traces, err := s.Traces(context.Background(), "R")
			if err != nil || len(traces) != requests+1 {
				t.Errorf("Traces: %d, %v", len(traces), err)
			}
			all := 0
			for _, err := range s.Requests(context.Background(), "R") {
				if err != nil {
					t.Fatal(err)
				}
				all++
			}
			if all != requests {
				t.Errorf("Requests: %d", all)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
