package store_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

// request returns the protobuf of a request with spans spans for each trace.
func request(spans int, traces ...otlp.TraceID) []byte {
	var all []byte
	for _, trace := range traces {
		for range spans {
			var s []byte
			s = protowire.AppendBytes(protowire.AppendTag(s, 1, protowire.BytesType), trace[:])
			s = protowire.AppendBytes(protowire.AppendTag(s, 2, protowire.BytesType), binary.BigEndian.AppendUint64(nil, rand.Uint64()|1))
			s = protowire.AppendString(protowire.AppendTag(s, 5, protowire.BytesType), "llm_request")
			s = protowire.AppendFixed64(protowire.AppendTag(s, 7, protowire.Fixed64Type), 1_800_000_000_000_000_000)
			s = protowire.AppendFixed64(protowire.AppendTag(s, 8, protowire.Fixed64Type), 1_800_000_001_000_000_000)
			all = protowire.AppendBytes(protowire.AppendTag(all, 2, protowire.BytesType), s)
		}
	}
	scopes := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), all)
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), scopes)
}

func randomTrace() (id otlp.TraceID) {
	binary.BigEndian.PutUint64(id[:8], rand.Uint64())
	binary.BigEndian.PutUint64(id[8:], rand.Uint64()|1)
	return id
}

func appendRequest(t testing.TB, s *store.Store, run string, body []byte) {
	t.Helper()
	clean, sum, rejected, reason, err := otlp.Scan(body)
	if err != nil || rejected > 0 {
		t.Fatalf("scan: %v, %d rejected: %s", err, rejected, reason)
	}
	if err := s.Append(context.Background(), run, clean, sum); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, path string, opts store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), path, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func BenchmarkOpenNew(b *testing.B) {
	for b.Loop() {
		path := filepath.Join(b.TempDir(), "forkspan.db")
		s := open(b, path, store.Options{})
		appendRequest(b, s, "R", request(8, randomTrace()))
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenOld(b *testing.B) {
	path := filepath.Join(b.TempDir(), "forkspan.db")
	for b.Loop() {
		s := open(b, path, store.Options{})
		if err := s.PutRun(context.Background(), store.Run{ID: store.NewRunID(), Start: time.Now()}); err != nil {
			b.Fatal(err)
		}
		appendRequest(b, s, "R", request(8, randomTrace()))
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
