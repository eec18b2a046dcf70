package journal_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"forkspan.dev/forkspan/journal"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// A span whose end found no room is let go of, too, when it has been exported: its start is neither left for a recovery nor in the
// way of others.
func TestSpansWhoseEndIsLostAreReleased(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir, journal.WithSegmentSize(4<<10), journal.WithMaxSize(8<<10))
	tp := provider(w, sdktrace.WithSyncer(w.Exporter(discard{})))
	var spans []trace.Span
	for w.Stats().Lost == 0 {
		_, s := tp.Tracer("s").Start(t.Context(), "long")
		spans = append(spans, s)
	}
	for _, s := range spans {
		s.End()
	}
	lost := w.Stats().Lost
	for range 1000 {
		record(tp.Tracer("s"), "later")
	}
	if more := w.Stats().Lost - lost; more > 0 {
		t.Errorf("%d records were lost when there was room again", more)
	}
	if err := tp.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// The last segment below the cap is waited for while the background makes it.
func TestTheCapIsUsed(t *testing.T) {
	for range 20 {
		w := create(t, t.TempDir(), journal.WithSegmentSize(4<<10), journal.WithMaxSize(8<<10))
		tp := provider(w)
		n := 0
		for ; w.Stats().Lost == 0; n++ {
			_, _ = tp.Tracer("s").Start(t.Context(), "open")
		}
		if n < 100 { // 54 in each segment
			t.Fatalf("full with %d spans", n)
		}
	}
}

// A journal at its cap goes on as long as its reader keeps up.
func TestTheCapIsReadAndUsedAgain(t *testing.T) {
	for _, opts := range [][]journal.Option{nil, {journal.WithPlainWrites()}} {
		dir := t.TempDir()
		const most = 32 << 10
		w := create(t, dir, append(opts, journal.WithSegmentSize(4<<10), journal.WithMaxSize(most))...)
		tracer := provider(w).Tracer("s")
		for w.Stats().Size < most {
			record(tracer, "a")
		}
		tail := journal.NewTail(dir)
		for range 100 {
			poll(t, tail)
			if err := tail.Consume(); err != nil {
				t.Fatal(err)
			}
			for range 20 {
				record(tracer, "b")
			}
		}
		if s := w.Stats(); s.Lost > 0 || s.Size > most {
			t.Errorf("%+v: %v", s, w.Err())
		}
	}
}

func TestTheCapIsKept(t *testing.T) {
	dir := t.TempDir()
	const most = 32 << 10
	w := create(t, dir, journal.WithSegmentSize(8<<10), journal.WithMaxSize(most))
	tp := provider(w)
	tracer := tp.Tracer("s")
	for range 1000 {
		record(tracer, "span")
	}
	s := w.Stats()
	got := readAll(t, dir)
	if s.Lost == 0 || s.Started+s.Ended+s.Lost != 2000 || s.Size > most || uint64(len(got.finished)) != s.Ended || w.Err() == nil {
		t.Errorf("stats %+v, %d finished: %v", s, len(got.finished), w.Err())
	}
	size := int64(0)
	for _, name := range files(t, dir) {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	if size > most {
		t.Errorf("%d bytes on the disk", size)
	}
}
