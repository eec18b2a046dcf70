package forkspantest_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"forkspan.dev/forkspan/forkspantest"
)

func newTracer() (*forkspantest.Recorder, trace.Tracer) {
	recorder := forkspantest.NewRecorder()
	return recorder, sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("test")
}

func TestRecorderTree(t *testing.T) {
	recorder, tracer := newTracer()
	base := time.Unix(1700000000, 0)
	at := func(s int) trace.SpanStartEventOption {
		return trace.WithTimestamp(base.Add(time.Duration(s) * time.Second))
	}
	remote := trace.ContextWithRemoteSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true,
	}))
	ctx, server := tracer.Start(remote, "request", at(0), trace.WithSpanKind(trace.SpanKindServer))
	_, second := tracer.Start(ctx, "second", at(2))
	_, first := tracer.Start(ctx, "first", at(1), trace.WithAttributes(attribute.Int("rank", 3)))
	_, open := tracer.Start(ctx, "open", at(3))
	second.SetStatus(codes.Error, "boom")
	second.End()
	first.End()
	server.SetStatus(codes.Error, "")
	server.End()
	want := `request [server] [error] [parent elsewhere]
  first rank=3
  second [error: boom]
  open [unfinished]
`
	if got := recorder.Tree("rank"); got != want {
		t.Errorf("tree:\n%swant:\n%s", got, want)
	}
	if got := recorder.Unfinished(); len(got) != 1 || got[0].Name() != "open" {
		t.Errorf("unfinished %v", got)
	}
	open.End()
	if got := recorder.Unfinished(); len(got) != 0 {
		t.Errorf("unfinished %v", got)
	}
	if s, ok := recorder.Find("open"); !ok || s.Name() != "open" {
		t.Error("the span that ended last is not found")
	}
	recorder.Reset()
	if got := recorder.Tree(); got != "" {
		t.Errorf("tree after Reset %q", got)
	}
	if _, ok := recorder.Find("open"); ok {
		t.Error("found a span after Reset")
	}
}

// A span that was started before Reset belongs to what was forgotten.
func TestRecorderResetForgetsOpenSpans(t *testing.T) {
	recorder, tracer := newTracer()
	_, span := tracer.Start(t.Context(), "before")
	recorder.Reset()
	span.End()
	if got := recorder.Spans(); len(got) != 0 {
		t.Errorf("spans %v", got)
	}
}

func TestRecorderWait(t *testing.T) {
	recorder, tracer := newTracer()
	var sending sync.WaitGroup
	for range 20 {
		sending.Go(func() {
			_, span := tracer.Start(context.Background(), "concurrent")
			span.End()
		})
	}
	spans, err := recorder.WaitSpans(waiting(t), 20)
	if err != nil || len(spans) != 20 {
		t.Errorf("%d spans, error %v", len(spans), err)
	}
	sending.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = recorder.WaitSpans(ctx, 21)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "wait for 21 spans, 20 have ended") {
		t.Errorf("error %v", err)
	}
}
