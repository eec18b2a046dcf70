package store_test

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

var capSize = flag.Int64("cap", 12<<20, "size cap of TestSizeCapHolds in bytes; three times as much is stored")

// incompressible is a request of one span with size random bytes.
func incompressible(r *rand.Rand, size int) []byte {
	noise := make([]byte, size+8)
	for i := 0; i < size; i += 8 {
		binary.LittleEndian.PutUint64(noise[i:], r.Uint64())
	}
	id := make([]byte, 16)
	binary.LittleEndian.PutUint64(id, r.Uint64()|1)
	value := &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: noise[:size]}}
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{
		Spans: []*tracepb.Span{{
			TraceId: id, SpanId: id[:8], Name: "noise", StartTimeUnixNano: 1, EndTimeUnixNano: 2,
			Attributes: []*commonpb.KeyValue{{Key: "noise", Value: value}},
		}},
	}}}}})
	if err != nil {
		panic(err)
	}
	return body
}

func onDisk(t *testing.T, path string) (bytes int64) {
	t.Helper()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err == nil {
			bytes += info.Size()
		} else if !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return bytes
}

// Two writers store three times the cap while a reader reads: nobody sees an error, what is left is at most the cap, the newest
// runs whole, and of each run that is gone that was said.
func TestSizeCapHolds(t *testing.T) {
	limit := *capSize
	const runs, bodies = 48, 64 // runs that are stored in all, requests in each
	size := int(3 * limit / runs / bodies)
	path := filepath.Join(t.TempDir(), "forkspan.db")
	ctx := context.Background()
	var mu sync.Mutex
	var said strings.Builder
	opts := store.Options{
		MaxBytes: limit, Alive: func(store.Run) bool { return true },
		Notify: func(msg string) { mu.Lock(); fmt.Fprintln(&said, msg); mu.Unlock() },
	}
	began := time.Now()
	var writing, reading sync.WaitGroup
	var stores []*store.Store
	for w := range 2 {
		s := open(t, path, opts)
		defer s.Close()
		stores = append(stores, s)
		writing.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for n := range runs / 2 {
				run := store.Run{ID: fmt.Sprintf("RUN%c%02d", 'A'+w, n), Kind: "run", Name: "n", Start: time.Now()}
				if err := s.PutRun(ctx, run); err != nil {
					t.Error(err)
				}
				for range bodies {
					body := incompressible(r, size)
					_, sum, _, _, err := otlp.Scan(body)
					if err == nil {
						err = s.Append(ctx, run.ID, body, sum)
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
				run.End = time.Now()
				if err := s.PutRun(ctx, run); err != nil {
					t.Error(err)
				}
			}
		})
	}
	written, stop := context.WithCancel(ctx)
	reader := open(t, path, opts)
	defer reader.Close()
	reads := 0
	reading.Go(func() {
		for written.Err() == nil {
			run, err := reader.FindRun(ctx, "last")
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			for _, err := range reader.Requests(ctx, run.ID) {
				if err != nil {
					t.Error(err)
				}
				reads++
			}
			if _, err := reader.Traces(ctx, run.ID); err != nil {
				t.Error(err)
			}
		}
	})
	writing.Wait()
	stop()
	reading.Wait()
	for _, s := range stores {
		store.AwaitBehind(s)
	}
	if err := reader.EnforceCaps(ctx); err != nil {
		t.Error(err)
	}
	t.Logf("%d MiB stored in %v, %d requests read meanwhile", 3*limit>>20, time.Since(began).Round(time.Millisecond), reads)
	checkCapHeld(t, path, limit, bodies, runs, said.String())
}

func checkCapHeld(t *testing.T, path string, limit int64, bodies, runs int, said string) {
	t.Helper()
	if got := onDisk(t, path); got > limit || got < limit/2 {
		t.Errorf("%d bytes on disk, the cap is %d", got, limit)
	}
	s := open(t, path, store.Options{MaxBytes: 1 << 40})
	defer s.Close()
	left, err := s.Runs(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(left) < runs/3/2 || len(left) > runs/3 {
		t.Errorf("%d of %d runs are left", len(left), runs)
	}
	there := map[string]bool{}
	for _, r := range left {
		there[r.ID] = true
		if n := requests(t, s, r.ID); n != bodies {
			t.Errorf("run %s has %d of %d requests", r.ID, n, bodies)
		}
	}
	gone := 0
	for w := range 2 {
		younger := false
		for n := range runs / 2 {
			id := fmt.Sprintf("RUN%c%02d", 'A'+w, n)
			if !there[id] {
				gone++
				if younger {
					t.Errorf("run %s is gone, an older one is there", id)
				}
				if !strings.Contains(said, "removed run "+id+" ") {
					t.Errorf("that run %s is gone was not said", id)
				}
			}
			younger = younger || there[id]
		}
	}
	if gone+len(left) != runs {
		t.Errorf("%d runs gone and %d left", gone, len(left))
	}
}

// A run that goes on is not removed while there is another; alone it loses its oldest requests, which is said, with how many of
// them had not been forwarded.
func TestSizeCapSparesRunning(t *testing.T) {
	const limit = 4 << 20
	notices := make(chan string, 10000)
	s := open(t, filepath.Join(t.TempDir(), "db"), store.Options{
		MaxBytes: limit, Alive: func(r store.Run) bool { return r.ID == "ALIVE" }, Notify: func(msg string) { notices <- msg },
	})
	defer s.Close()
	ctx := context.Background()
	r := rand.New(rand.NewPCG(5, 6))
	fill := func(run string, n int) {
		t.Helper()
		for range n {
			appendRequest(t, s, run, incompressible(r, 32<<10))
		}
	}
	putRun(t, s, store.Run{ID: "ALIVE", Kind: "run", Start: time.Now()})
	fill("ALIVE", 20)
	for _, run := range []string{"OLD", "NEW"} {
		putRun(t, s, store.Run{ID: run, Kind: "run", Start: time.Now(), End: time.Now()})
		fill(run, 70)
	}
	awaitNotice(t, notices, "removed run OLD ")
	store.AwaitBehind(s)
	if n := requests(t, s, "ALIVE"); n != 20 {
		t.Errorf("the run that goes on has %d of 20 requests", n)
	}
	if _, err := s.PutRoute(ctx, "ALIVE", store.Target{Protocol: "grpc", Address: "h:1"}, "", false); err != nil {
		t.Fatal(err)
	}
	fill("ALIVE", 150)
	awaitNotice(t, notices, "removed run NEW ")
	awaitNotice(t, notices, "the oldest requests of run ALIVE")
	store.AwaitBehind(s)
	if n := requests(t, s, "ALIVE"); n < 40 || n > 130 {
		t.Errorf("%d requests are left", n)
	}
}

// With requests of no run, as a standing receiver stores them, the oldest go first, whoever's they are.
func TestSizeCapWithoutRuns(t *testing.T) {
	const limit = 4 << 20
	notices := make(chan string, 10000)
	s := open(t, filepath.Join(t.TempDir(), "db"), store.Options{MaxBytes: limit, Notify: func(msg string) { notices <- msg }})
	defer s.Close()
	r := rand.New(rand.NewPCG(7, 8))
	putRun(t, s, store.Run{ID: "MIDDLE", Kind: "run", Start: time.Now(), End: time.Now()})
	for i := range 300 {
		run := ""
		if i >= 20 && i < 30 {
			run = "MIDDLE"
		}
		appendRequest(t, s, run, incompressible(r, 32<<10))
	}
	awaitNotice(t, notices, "the oldest requests without a run")
	store.AwaitBehind(s)
	if n := requests(t, s, "MIDDLE"); n != 0 {
		t.Errorf("%d requests are left of a run older than others", n)
	}
	if n := requests(t, s, ""); n < 50 || n > 128 {
		t.Errorf("%d requests without a run are left", n)
	}
}
