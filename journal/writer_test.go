package journal_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"forkspan.dev/forkspan/journal"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Spans with the same ids that are open at once are not mixed up, and many open ones are all written.
func TestManyOpenSpans(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir)
	tp := provider(w, sdktrace.WithIDGenerator(sameIDs{}))
	const n = 3000
	var spans []trace.Span
	for i := range n {
		_, s := tp.Tracer(fmt.Sprint("scope ", i%3)).Start(t.Context(), fmt.Sprint(i), trace.WithAttributes(attribute.Int("i", i)))
		spans = append(spans, s)
	}
	for _, s := range spans {
		s.End()
	}
	seen := map[string]bool{}
	for _, rs := range readAll(t, dir).requests {
		for _, r := range rs.ResourceSpans {
			for _, ss := range r.ScopeSpans {
				for _, s := range ss.Spans {
					i := s.Attributes[0].Value.GetIntValue()
					if s.Name != fmt.Sprint(i) || ss.Scope.Name != fmt.Sprint("scope ", i%3) {
						t.Fatalf("%v in %v", s, ss.Scope)
					}
					seen[s.Name] = true
				}
			}
		}
	}
	if len(seen) != n {
		t.Errorf("%d spans", len(seen))
	}
}

// Of spans that have the same ids, names and starts none gets what is another's.
func TestTwins(t *testing.T) {
	dir := t.TempDir()
	tp := provider(create(t, dir), sdktrace.WithIDGenerator(oneID{}))
	at := trace.WithTimestamp(time.Unix(1e9, 0))
	_, first := tp.Tracer("one").Start(t.Context(), "a", at, trace.WithSpanKind(trace.SpanKindServer))
	_, second := tp.Tracer("two").Start(t.Context(), "a", at, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attribute.Int("x", 1)))
	_, third := tp.Tracer("one").Start(t.Context(), "a", at, trace.WithSpanKind(trace.SpanKindServer))
	second.End()
	third.End()
	_, _ = tp.Tracer("one").Start(t.Context(), "a", at, trace.WithSpanKind(trace.SpanKindProducer))
	first.End()
	for _, r := range readAll(t, dir).requests {
		for _, ss := range r.ResourceSpans[0].ScopeSpans {
			for _, s := range ss.Spans {
				if two := len(s.Attributes) == 1; two != (s.Kind == tracepb.Span_SPAN_KIND_CLIENT) || two != (ss.Scope.Name == "two") ||
					s.Kind == tracepb.Span_SPAN_KIND_PRODUCER {
					t.Errorf("%v from %s", s, ss.Scope.Name)
				}
			}
		}
	}
}

// oneID gives one id.
type oneID struct{}

func (oneID) NewIDs(context.Context) (trace.TraceID, trace.SpanID) {
	return trace.TraceID{1}, trace.SpanID{1}
}
func (oneID) NewSpanID(context.Context, trace.TraceID) trace.SpanID { return trace.SpanID{1} }

// sameIDs gives few ids.
type sameIDs struct{}

func (sameIDs) NewIDs(context.Context) (trace.TraceID, trace.SpanID) {
	return trace.TraceID{1}, trace.SpanID{byte(rand.IntN(4) + 1)}
}

func (sameIDs) NewSpanID(context.Context, trace.TraceID) trace.SpanID { return trace.SpanID{9} }

func TestUnsampledSpansAreLeftOut(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir)
	tp := provider(w, sdktrace.WithSampler(recordOnly{}))
	record(tp.Tracer("s"), "seen")
	if got := readAll(t, dir); len(got.finished)+len(got.unfinished) != 0 || w.Stats().Started != 0 {
		t.Errorf("got %v", got.finished)
	}
}

type recordOnly struct{}

func (recordOnly) ShouldSample(sdktrace.SamplingParameters) sdktrace.SamplingResult {
	return sdktrace.SamplingResult{Decision: sdktrace.RecordOnly}
}
func (recordOnly) Description() string { return "record only" }

func TestManySegmentsAndScopes(t *testing.T) {
	for _, opts := range [][]journal.Option{nil, {journal.WithPlainWrites()}} {
		dir := t.TempDir()
		w := create(t, dir, append(opts, journal.WithSegmentSize(8<<10))...)
		tp := provider(w)
		const goroutines, each = 8, 500
		var all sync.WaitGroup
		for g := range goroutines {
			tracer := tp.Tracer(fmt.Sprint("scope ", g))
			all.Go(func() {
				for i := range each {
					record(tracer, fmt.Sprintf("%d-%d", g, i))
				}
			})
		}
		all.Wait()
		live := readAll(t, dir)
		if len(live.finished) != goroutines*each || len(live.unfinished) != 0 || !live.journals[0].Alive {
			t.Errorf("live: %d finished, %d unfinished", len(live.finished), len(live.unfinished))
		}
		for _, data := range live.requests {
			for _, rs := range data.ResourceSpans {
				for _, ss := range rs.ScopeSpans {
					for _, s := range ss.Spans {
						if number, _, _ := strings.Cut(s.Name, "-"); ss.Scope.Name != "scope "+number {
							t.Fatalf("span %s in %s", s.Name, ss.Scope.Name)
						}
					}
				}
			}
		}
		_ = w.Shutdown(t.Context())
		closed := readAll(t, dir)
		if len(closed.finished) != goroutines*each || closed.journals[0].Alive || closed.damaged != 0 {
			t.Errorf("closed: %+v", closed.journals[0])
		}
		if s := w.Stats(); s.Started != goroutines*each || s.Ended != s.Started || s.Lost != 0 || s.Size == 0 {
			t.Errorf("stats %+v", s)
		}
	}
}

// A reader at any time sees whole spans only.
func TestReadingWhileOthersWrite(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir, journal.WithSegmentSize(16<<10), journal.WithMaxSize(4<<20))
	tp := provider(w)
	tracer := tp.Tracer("s")
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for range 3000 {
				record(tracer, "span")
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	for last, over := 0, false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		c := readAll(t, dir)
		if c.damaged != 0 || len(c.finished) < last || strings.Trim(strings.ReplaceAll(names(c.finished), "span", ""), " ") != "" {
			t.Fatalf("%d spans after %d, %d damaged", len(c.finished), last, c.damaged)
		}
		last = len(c.finished)
	}
}

func TestASpanLargerThanASegment(t *testing.T) {
	dir := t.TempDir()
	tracer := provider(create(t, dir, journal.WithSegmentSize(4<<10))).Tracer("s")
	_, span := tracer.Start(t.Context(), "large", trace.WithAttributes(attribute.String("text", strings.Repeat("x", 3<<20))))
	record(tracer, "small")
	span.End()
	if got := readAll(t, dir); names(got.finished) != "large small" || len(got.unfinished) != 0 {
		t.Errorf("finished: %s", names(got.finished))
	}
}

// held is an exporter that takes spans by name.
type held struct {
	mu    sync.Mutex
	takes func(name string) bool
}

func (h *held) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range spans {
		if !h.takes(s.Name()) {
			return errors.New("not now")
		}
	}
	return nil
}
func (h *held) Shutdown(context.Context) error { return nil }

func TestExportedSpansAreReleased(t *testing.T) {
	for _, opts := range [][]journal.Option{nil, {journal.WithPlainWrites()}} {
		dir := t.TempDir()
		w := create(t, dir, append(opts, journal.WithSegmentSize(4<<10), journal.WithMaxSize(64<<10))...)
		e := &held{takes: func(name string) bool { return !strings.HasPrefix(name, "kept") }}
		tp := provider(w)
		tp.RegisterSpanProcessor(sdktrace.NewSimpleSpanProcessor(w.Exporter(e)))
		tracer := tp.Tracer("s")
		_, open := tracer.Start(t.Context(), "open")
		_, late := tracer.Start(t.Context(), "late") // ends in another segment than it starts in
		record(tracer, "kept 1")
		for range 1000 { // many times what fits
			record(tracer, "taken")
		}
		late.End()
		record(tracer, "kept 2")
		for range 1000 {
			record(tracer, "taken")
		}
		if s := w.Stats(); s.Lost != 0 {
			t.Errorf("stats %+v: %v", s, w.Err())
		}
		got := readAll(t, dir)
		if names(got.finished) != "kept 1 kept 2" || names(got.unfinished) != "open" {
			t.Errorf("finished: %s, unfinished: %s", names(got.finished), names(got.unfinished))
		}
		open.End()
		if err := tp.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if got := readAll(t, dir); names(got.finished) != "kept 1 kept 2" || len(got.unfinished) != 0 {
			t.Errorf("finished: %s, unfinished: %s", names(got.finished), names(got.unfinished))
		}
		if err := journal.Recover(t.Context(), dir, func(j *journal.Journal) error { return nil }); err != nil {
			t.Error(err)
		}
		if left := files(t, dir); left != nil {
			t.Errorf("left behind: %v", left)
		}
	}
}

// A span that is open for long, among many that are not, takes the room of its start and not that of a segment.
func TestLongSpansDoNotPinSegments(t *testing.T) {
	for _, opts := range [][]journal.Option{nil, {journal.WithPlainWrites()}} {
		dir := t.TempDir()
		const most = 64 << 10
		w := create(t, dir, append(opts, journal.WithSegmentSize(8<<10), journal.WithMaxSize(most))...)
		tp := provider(w)
		tp.RegisterSpanProcessor(sdktrace.NewSimpleSpanProcessor(w.Exporter(discard{})))
		tracer := tp.Tracer("s")
		var long []trace.Span
		var want []string
		for i := range 50 {
			name := fmt.Sprint("long ", i)
			_, span := tp.Tracer(fmt.Sprint("scope ", i%3)).Start(t.Context(), name)
			long, want = append(long, span), append(want, name)
			for range 100 { // some segments
				record(tracer, "short")
			}
		}
		slices.Sort(want)
		if s := w.Stats(); s.Lost != 0 || s.Size > most {
			t.Errorf("stats %+v: %v", s, w.Err())
		}
		got := readAll(t, dir)
		if len(got.finished) != 0 || names(got.unfinished) != strings.Join(want, " ") || got.damaged != 0 {
			t.Errorf("finished: %s, unfinished: %s", names(got.finished), names(got.unfinished))
		}
		for _, span := range long[1:] {
			span.End()
		}
		if got := readAll(t, dir); len(got.finished) != 0 || names(got.unfinished) != "long 0" {
			t.Errorf("finished: %s, unfinished: %s", names(got.finished), names(got.unfinished))
		}
		long[0].End()
		if err := tp.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if left := files(t, dir); left != nil {
			t.Errorf("left behind: %v", left)
		}
	}
}

// Starts that are carried on leave room for what the segment was made for.
func TestALargeSpanAmongManyOpenOnes(t *testing.T) {
	w := create(t, t.TempDir(), journal.WithSegmentSize(4<<10))
	tp := provider(w, sdktrace.WithSyncer(w.Exporter(discard{})))
	defer func() { _ = tp.Shutdown(context.Background()) }()
	tracer := tp.Tracer("s")
	for range 400 {
		_, _ = tracer.Start(t.Context(), "open")
	}
	for _, size := range []int{2 << 10, 3 << 10, 3500, 8 << 10, 30 << 10} {
		_, s := tracer.Start(t.Context(), "large", trace.WithAttributes(attribute.String("a", strings.Repeat("x", size))))
		s.End()
	}
	if n := w.Files(); n > 100 {
		t.Errorf("%d files were made", n)
	}
}

// A segment that a reader has consumed is not used again while an exporter has not taken what is in it.
func TestExportedAndConsumed(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir, journal.WithSegmentSize(4<<10), journal.WithMaxSize(16<<10))
	tp := provider(w, sdktrace.WithBatcher(w.Exporter(discard{}), sdktrace.WithBatchTimeout(time.Hour)))
	defer func() { _ = tp.Shutdown(context.Background()) }()
	tracer, tail := tp.Tracer("s"), journal.NewTail(dir)
	for range 10 {
		for range 10 {
			record(tracer, "a")
		}
		poll(t, tail)
		if err := tail.Consume(); err != nil {
			t.Fatal(err)
		}
	}
	const open = 25
	for range open {
		_, _ = tracer.Start(t.Context(), "open")
	}
	if err := tp.ForceFlush(t.Context()); err != nil {
		t.Fatal(err)
	}
	started := w.Stats().Started - 100
	if got := readAll(t, dir); uint64(len(got.unfinished)) != started || started == 0 || got.damaged != 0 {
		t.Errorf("%d open of %d, %d damaged", len(got.unfinished), started, got.damaged)
	}
}

func TestNothingIsLeftAfterEverythingWasExported(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir, journal.WithSegmentSize(4<<10))
	tp := provider(w, sdktrace.WithBatcher(w.Exporter(discard{})))
	tracer := tp.Tracer("s")
	for range 100 {
		record(tracer, "span")
	}
	if err := tp.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if left := files(t, dir); left != nil {
		t.Errorf("left behind: %v", left)
	}
	record(tracer, "too late")
	if s := w.Stats(); s.Ended != 100 || s.Size != 0 {
		t.Errorf("stats %+v", s)
	}
}

// Segments whose spans have been exported are used again: making files costs more than writing to them. They stay locked, by
// which processes in other pid namespaces know that their writer lives.
func TestSegmentsAreUsedAgain(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir, journal.WithSegmentSize(4<<10))
	tp := provider(w, sdktrace.WithSyncer(w.Exporter(discard{})))
	const spans = 4000
	for range spans {
		record(tp.Tracer("s"), "span")
	}
	if made := w.Files(); made > spans/10 {
		t.Errorf("%d files were made", made)
	}
	if runtime.GOOS == "linux" && !journal.AllLocked(t, dir) {
		t.Error("a segment is not locked")
	}
	if err := tp.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// passOn exports copies of spans.
type passOn struct{ sdktrace.SpanExporter }

func (p passOn) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	return p.SpanExporter.ExportSpans(ctx, tracetest.SpanStubsFromReadOnlySpans(spans).Snapshots())
}

// An exporter above ours may hand on other objects than the processor's.
func TestCopiesOfSpansAreReleased(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir)
	tp := provider(w, sdktrace.WithBatcher(passOn{w.Exporter(discard{})}))
	record(tp.Tracer("s"), "a", "b", "c")
	if err := tp.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestAForkedChildWritesFilesOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir)
	tracer := provider(w).Tracer("s")
	record(tracer, "parent's")
	_, open := tracer.Start(t.Context(), "open")
	before := files(t, dir)
	content, err := os.ReadFile(filepath.Join(dir, before[0]))
	if err != nil {
		t.Fatal(err)
	}
	w.Forked()
	record(tracer, "child's")
	open.End()
	after, err := os.ReadFile(filepath.Join(dir, before[0]))
	if err != nil || !slices.Equal(content, after) {
		t.Errorf("the parent's file has changed: %v", err)
	}
	got := readAll(t, dir)
	if len(got.journals) != 2 || names(got.finished) != "child's open parent's" || names(got.unfinished) != "open" {
		t.Errorf("%d journals, finished: %s", len(got.journals), names(got.finished))
	}
}

func TestAFileThatIsCutOffCannotKillTheProgram(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir, journal.WithSegmentSize(64<<10))
	tracer := provider(w).Tracer("s")
	record(tracer, "before")
	if err := os.Truncate(filepath.Join(dir, files(t, dir)[0]), 0); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		record(tracer, "after")
	}
	if s := w.Stats(); s.Ended < 99 {
		t.Errorf("stats %+v: %v", s, w.Err())
	}
}

func TestCreateInAFolderThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if w, err := journal.Create(filepath.Join(file, "dir")); w != nil || err == nil {
		t.Errorf("got %v, %v", w, err)
	}
}
