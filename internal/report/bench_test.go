package report

import (
	"context"
	"path/filepath"
	"testing"

	"forkspan.dev/forkspan/internal/store"
)

// BenchmarkMillion reports 1,000,000 requests of which the server has told, and of which both sides have: the first time,
// when all spans are decoded, and again.
func BenchmarkMillion(b *testing.B) {
	for _, bench := range []struct {
		name   string
		joined bool
	}{{"server", false}, {"both sides", true}} {
		b.Run(bench.name, func(b *testing.B) {
			const requests = 1_000_000
			path := filepath.Join(b.TempDir(), "db")
			db, err := store.Open(context.Background(), path, store.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			storeRequests(b, db, requests, bench.joined, 1)
			report := func(load func(s *Source) error) {
				var s Source
				if err := load(&s); err != nil {
					b.Fatal(err)
				}
				if r := Build([]*Source{&s}, Options{By: []Key{ByModel, ByRoute}, Slowest: 5}); r.Requests != requests {
					b.Fatalf("%d requests", r.Requests)
				}
			}
			b.Run("first", func(b *testing.B) {
				for b.Loop() {
					report(func(s *Source) error { return s.load(context.Background(), db, "RUN", nil) })
				}
			})
			b.Run("again", func(b *testing.B) {
				load := func(s *Source) error { return s.Load(context.Background(), db, "RUN") }
				report(load)
				for b.Loop() {
					report(load)
				}
			})
		})
	}
}
