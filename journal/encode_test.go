package journal_test

import (
	"context"
	"fmt"
	"math"
	"strings"
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
	// A large one changes nothing for others.
	_, large := tracer.Start(t.Context(), "large", trace.WithAttributes(attribute.String("k", strings.Repeat("v", 20_000))))
	large.End()
	before := w.Files()
	for range 99 {
		_, span := tracer.Start(t.Context(), "a", trace.WithAttributes(attribute.String("k", strings.Repeat("v", 1000))))
		span.End()
	}
	if n := w.Files() - before; n > 99/3+1 {
		t.Errorf("%d files after a large span", n)
	}
}

// A processor before the journal may change what a span has, even in place.
func TestAttributesThatAreChangedInPlace(t *testing.T) {
	dir := t.TempDir()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(blank{create(t, dir)}))
	_, span := tp.Tracer("s").Start(t.Context(), "a", trace.WithAttributes(attribute.String("password", "secret")))
	span.End()
	if got := readAll(t, dir).finished; len(got) != 1 || got[0].Attributes[0].Value.GetStringValue() != "***" {
		t.Errorf("got %v", got)
	}
}

// blank hides passwords at the end of spans.
type blank struct{ *journal.Writer }

func (b blank) OnEnd(s sdktrace.ReadOnlySpan) {
	for i, a := range s.Attributes() {
		if a.Key == "password" {
			s.Attributes()[i].Value = attribute.StringValue("***")
		}
	}
	b.Writer.OnEnd(s)
}

// Spans that are not the SDK's own may tell that all of their events were dropped.
func TestDroppedWithoutAny(t *testing.T) {
	dir := t.TempDir()
	stub := tracetest.SpanStub{Name: "a", DroppedAttributes: 4, DroppedEvents: 5, DroppedLinks: 6, SpanContext: trace.NewSpanContext(
		trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})}
	if err := create(t, dir).Record(stub.Snapshot()); err != nil {
		t.Fatal(err)
	}
	got := readAll(t, dir).finished
	if len(got) != 1 || got[0].DroppedAttributesCount != 4 || got[0].DroppedEventsCount != 5 || got[0].DroppedLinksCount != 6 {
		t.Errorf("got %v", got)
	}
}

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
