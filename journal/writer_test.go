package journal_test

import (
	"context"
	"errors"
	"fmt"
	"math"
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
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// capture is an OTLP client that keeps what OpenTelemetry's own encoder makes of spans.
type capture struct{ spans []*tracepb.ResourceSpans }

func (c *capture) Start(context.Context) error { return nil }
func (c *capture) Stop(context.Context) error  { return nil }
func (c *capture) UploadTraces(_ context.Context, spans []*tracepb.ResourceSpans) error {
	c.spans = append(c.spans, spans...)
	return nil
}

// withOracle returns a provider whose spans go to a journal in dir and to OpenTelemetry's own encoder.
func withOracle(t *testing.T, dir string, limits sdktrace.SpanLimits) (*sdktrace.TracerProvider, *capture) {
	t.Helper()
	want := &capture{}
	exporter, err := otlptrace.New(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	return provider(create(t, dir), sdktrace.WithBatcher(exporter), sdktrace.WithRawSpanLimits(limits)), want
}

// The oracle of the encoder is OpenTelemetry's.
func TestSpansAreWrittenAsOTLPHasThem(t *testing.T) {
	dir := t.TempDir()
	tp, want := withOracle(t, dir, sdktrace.SpanLimits{AttributeValueLengthLimit: -1, AttributeCountLimit: 20, EventCountLimit: 2,
		LinkCountLimit: 2, AttributePerEventCountLimit: 2, AttributePerLinkCountLimit: 2})
	tracer := tp.Tracer("scope", trace.WithInstrumentationVersion("v1"), trace.WithSchemaURL("https://schema.example"),
		trace.WithInstrumentationAttributes(attribute.Int("scope", 1)))
	state, err := trace.ParseTraceState("vendor=value,other=1")
	if err != nil {
		t.Fatal(err)
	}
	remote := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 2}, SpanID: trace.SpanID{3},
		TraceFlags: trace.FlagsSampled, TraceState: state, Remote: true})
	for _, kind := range []trace.SpanKind{trace.SpanKindInternal, trace.SpanKindServer, trace.SpanKindClient,
		trace.SpanKindProducer, trace.SpanKindConsumer} {
		ctx, span := tracer.Start(trace.ContextWithRemoteSpanContext(t.Context(), remote), "kind "+kind.String(),
			trace.WithSpanKind(kind), trace.WithAttributes(attribute.String("at start", "é")))
		_, child := tracer.Start(ctx, "")
		child.SetStatus(codes.Ok, "")
		child.End()
		span.SetStatus(codes.Error, "broken")
		span.End()
	}
	_, span := tracer.Start(t.Context(), "values", trace.WithLinks(
		trace.Link{SpanContext: remote, Attributes: []attribute.KeyValue{attribute.Int("a", 1), attribute.Int("b", 2), attribute.Int("c", 3)}},
		trace.Link{SpanContext: remote.WithRemote(false)}, trace.Link{SpanContext: remote}))
	span.SetAttributes(
		attribute.String("empty", ""), attribute.String("long", strings.Repeat("x", 127)),
		attribute.String("longer", strings.Repeat("y", 20_000)), attribute.String(strings.Repeat("k", 200), "v"),
		attribute.Bool("true", true), attribute.Bool("false", false),
		attribute.Int64("least", math.MinInt64), attribute.Int64("most", math.MaxInt64), attribute.Int("0", 0),
		attribute.Float64("pi", math.Pi), attribute.Float64("inf", math.Inf(-1)),
		attribute.StringSlice("texts", []string{"a", "", "ü"}), attribute.BoolSlice("bools", []bool{true, false}),
		attribute.Int64Slice("ints", []int64{0, -1}), attribute.Float64Slice("floats", []float64{0, 0.5}),
		attribute.StringSlice("none", nil),
		attribute.KeyValue{Key: "bytes", Value: attribute.ByteSliceValue([]byte{0, 255})},
		attribute.KeyValue{Key: "mixed", Value: attribute.SliceValue(attribute.IntValue(1), attribute.StringValue("b"),
			attribute.SliceValue())},
		attribute.KeyValue{Key: "map", Value: attribute.MapValue(attribute.Int("x", 1), attribute.String("y", "z"))},
		attribute.String("one", "many"), attribute.String("two", "many"))
	for i := range 4 {
		span.AddEvent(fmt.Sprint("event ", i), trace.WithAttributes(
			attribute.Int("a", i), attribute.String("b", ""), attribute.Int("c", 3)))
	}
	span.End(trace.WithTimestamp(time.Unix(1<<33, 1)))
	if err := tp.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := readAll(t, dir)
	if len(got.requests) != 1 {
		t.Fatalf("%d requests", len(got.requests))
	}
	wanted := &tracepb.TracesData{ResourceSpans: want.spans}
	for _, s := range spansOf(wanted) {
		if s.Status.GetCode() == 0 {
			s.Status = nil // an empty one says nothing
		}
		for _, l := range s.Links {
			l.TraceState = state.String() // which OpenTelemetry's leaves out
		}
	}
	if !proto.Equal(got.requests[0], wanted) {
		t.Errorf("got  %v\nwant %v", got.requests[0], wanted)
	}
}

// What a span was at its start is written at its end again only if it has not changed.
func TestSpansThatChange(t *testing.T) {
	testSpansThatChange(t)
	t.Run("an SDK that changes what it has returned", func(t *testing.T) {
		journal.CopyAttributes(t)
		testSpansThatChange(t)
	})
}

func testSpansThatChange(t *testing.T) {
	link := trace.Link{SpanContext: trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})}
	for name, change := range map[string]func(trace.Span){
		"nothing":               func(trace.Span) {},
		"a name":                func(s trace.Span) { s.SetName("b") },
		"an attribute":          func(s trace.Span) { s.SetAttributes(attribute.String("k", "x")) },
		"one of a slice":        func(s trace.Span) { s.SetAttributes(attribute.StringSlice("list", []string{"a", "c"})) },
		"an attribute's type":   func(s trace.Span) { s.SetAttributes(attribute.Int("k", 1)) },
		"one attribute more":    func(s trace.Span) { s.SetAttributes(attribute.Bool("more", true)) },
		"an attribute and back": func(s trace.Span) { s.SetAttributes(attribute.String("k", "x"), attribute.String("k", "v")) },
		"a link":                func(s trace.Span) { s.AddLink(link) },
		"an event":              func(s trace.Span) { s.AddEvent("e") },
		"a status":              func(s trace.Span) { s.SetStatus(codes.Error, "m") },
		"dropped attributes": func(s trace.Span) {
			s.SetAttributes(attribute.Int("3", 3), attribute.Int("4", 4), attribute.Int("5", 5))
		},
		"all kinds of things": func(s trace.Span) {
			s.SetAttributes(attribute.Bool("more", true))
			s.AddLink(link)
			s.AddEvent("e")
			s.SetStatus(codes.Error, "m")
		},
	} {
		for _, start := range [][]attribute.KeyValue{nil, {attribute.StringSlice("list", []string{"a", "b"})},
			{{Key: "map", Value: attribute.MapValue(attribute.Int("x", 1), attribute.StringSlice("y", []string{"z"}))}}} {
			dir := t.TempDir()
			tp, want := withOracle(t, dir, sdktrace.SpanLimits{AttributeValueLengthLimit: -1, AttributeCountLimit: 6, EventCountLimit: -1,
				LinkCountLimit: -1, AttributePerEventCountLimit: -1, AttributePerLinkCountLimit: -1})
			_, span := tp.Tracer("s").Start(t.Context(), "a", trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
				append(start, attribute.String("k", "v"), attribute.Int("i", -1), attribute.Bool("b", true), attribute.Float64("f", math.NaN()))...))
			change(span)
			span.End()
			if err := tp.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			got, wanted := readAll(t, dir).finished, spansOf(&tracepb.TracesData{ResourceSpans: want.spans})
			if wanted[0].Status.GetCode() == 0 {
				wanted[0].Status = nil
			}
			if len(got) != 1 || !proto.Equal(got[0], wanted[0]) {
				t.Errorf("%s: got  %v\nwant %v", name, got, wanted)
			}
		}
	}
}

// What is spared with this version of the SDK is spared.
func TestAttributesStay(t *testing.T) {
	if !journal.AttributesStay() {
		t.Error("attributes that a span has returned are changed")
	}
}

// A span takes little more than once its size.
func TestEndsDoNotRepeatStarts(t *testing.T) {
	w := create(t, t.TempDir(), journal.WithSegmentSize(4<<10))
	tracer := provider(w).Tracer("s")
	for range 99 {
		_, span := tracer.Start(t.Context(), "a", trace.WithAttributes(attribute.String("k", strings.Repeat("v", 1000))))
		span.SetAttributes(attribute.Int("i", 1))
		span.SetStatus(codes.Ok, "")
		span.End()
	}
	if n := w.Files(); n > 99/3+1 {
		t.Errorf("%d files", n)
	}
}

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

// sameIDs gives few ids.
type sameIDs struct{}

func (sameIDs) NewIDs(context.Context) (trace.TraceID, trace.SpanID) {
	return trace.TraceID{1}, trace.SpanID{byte(rand.IntN(4) + 1)}
}

func (sameIDs) NewSpanID(context.Context, trace.TraceID) trace.SpanID { return trace.SpanID{9} }

func TestTextThatIsNotUTF8(t *testing.T) {
	dir := t.TempDir()
	tracer := provider(create(t, dir)).Tracer("s")
	_, span := tracer.Start(t.Context(), "n\xff", trace.WithAttributes(attribute.String("k\xff", "v"), attribute.String("k", "v\xff"),
		attribute.StringSlice("list", []string{"\xff"})))
	span.End()
	got := readAll(t, dir)
	if want := "n\ufffd"; names(got.finished) != want || len(got.finished[0].Attributes) != 3 {
		t.Errorf("got %v", got.finished)
	}
}

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
