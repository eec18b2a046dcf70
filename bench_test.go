package forkspan_test

import (
	"context"
	"testing"

	"forkspan.dev/forkspan"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Each benchmark has its rival as a sub-benchmark: a span of OpenTelemetry's SDK with the same attributes, which is what
// forkspan's span is made of, or its no-op tracer. Both export in batches to an exporter that does nothing. Compare them
// within one run:
//
//	go test -run '^$' -bench . -count 10 .

// discard is an exporter that takes everything and does nothing.
type discard struct{}

func (discard) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (discard) Shutdown(context.Context) error                             { return nil }

// benchTracer sets forkspan up for a benchmark.
func benchTracer(b *testing.B, opts ...forkspan.Option) {
	tr, err := forkspan.Init(context.Background(), "bench", append(opts, forkspan.WithExporter(discard{}))...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { tr.Shutdown(context.Background()) })
}

// rawTracer is what a program that uses the SDK by itself has.
func rawTracer(b *testing.B) trace.Tracer {
	tp := sdktrace.NewTracerProvider(sdktrace.WithBatcher(discard{}))
	b.Cleanup(func() { tp.Shutdown(context.Background()) })
	return tp.Tracer("bench")
}

// remoteContext has a remote parent in it, as a program has that reads the environment once by itself.
func remoteContext() context.Context {
	id, _ := trace.TraceIDFromHex("0af7651916cd43dd8448eb211c80319c")
	span, _ := trace.SpanIDFromHex("b7ad6b7169203331")
	return trace.ContextWithRemoteSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: id, SpanID: span, TraceFlags: trace.FlagsSampled}))
}

func tracedRaw(ctx context.Context, t trace.Tracer) (err error) {
	_, span := t.Start(ctx, "Load model", trace.WithAttributes(
		attribute.String("code.function", "tracedRaw"),
		attribute.String("code.namespace", "forkspan.dev/forkspan_test"),
		attribute.String("code.filepath", "/src/forkspan/bench_test.go"),
		attribute.String("code.lineno", "57"),
	))
	defer func() {
		if err != nil {
			span.RecordError(err)
		}
		span.End()
	}()
	return nil
}

func traced(ctx context.Context) (err error) {
	_, span := forkspan.Start(ctx, "Load model")
	defer forkspan.End(span, &err)
	return nil
}

func tracedRaw4(ctx context.Context, t trace.Tracer) (err error) {
	_, span := t.Start(ctx, "Load model", trace.WithAttributes(
		attribute.String("code.function", "tracedRaw"),
		attribute.String("code.namespace", "forkspan.dev/forkspan_test"),
		attribute.String("code.filepath", "/src/forkspan/bench_test.go"),
		attribute.String("code.lineno", "57"),
		attribute.String("model", "opt-125m"), attribute.Int("rank", 1),
		attribute.Float64("seconds", 1.5), attribute.Bool("cached", true),
	))
	defer func() {
		if err != nil {
			span.RecordError(err)
		}
		span.End()
	}()
	return nil
}

func traced4(ctx context.Context) (err error) {
	_, span := forkspan.Start(ctx, "Load model",
		attribute.String("model", "opt-125m"), attribute.Int("rank", 1),
		attribute.Float64("seconds", 1.5), attribute.Bool("cached", true))
	defer forkspan.End(span, &err)
	return nil
}

func BenchmarkSpan(b *testing.B) {
	b.Run("otel", func(b *testing.B) {
		t := rawTracer(b)
		for b.Loop() {
			tracedRaw(context.Background(), t)
		}
	})
	b.Run("forkspan", func(b *testing.B) {
		benchTracer(b)
		for b.Loop() {
			traced(context.Background())
		}
	})
}

func BenchmarkSpanWithFourAttributes(b *testing.B) {
	b.Run("otel", func(b *testing.B) {
		t := rawTracer(b)
		for b.Loop() {
			tracedRaw4(context.Background(), t)
		}
	})
	b.Run("forkspan", func(b *testing.B) {
		benchTracer(b)
		for b.Loop() {
			traced4(context.Background())
		}
	})
}

// BenchmarkSpanFromEnvironment takes the parent from the environment with each span. The rival has read it once, at the
// start, which is wrong as soon as the environment changes, and less work.
func BenchmarkSpanFromEnvironment(b *testing.B) {
	b.Run("otel", func(b *testing.B) {
		t := rawTracer(b)
		ctx := remoteContext()
		for b.Loop() {
			tracedRaw(ctx, t)
		}
	})
	b.Run("forkspan", func(b *testing.B) {
		b.Setenv("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		benchTracer(b)
		for b.Loop() {
			traced(context.Background())
		}
	})
}

func BenchmarkDisabled(b *testing.B) {
	noopTracer := noop.NewTracerProvider().Tracer("bench")
	b.Run("otel", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, span := noopTracer.Start(context.Background(), "Load model")
			span.End()
		}
	})
	b.Run("forkspan", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			traced(context.Background())
		}
	})
}

func BenchmarkDisabledWithFourAttributes(b *testing.B) {
	noopTracer := noop.NewTracerProvider().Tracer("bench")
	b.Run("otel", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, span := noopTracer.Start(context.Background(), "Load model", trace.WithAttributes(
				attribute.String("model", "opt-125m"), attribute.Int("rank", 1),
				attribute.Float64("seconds", 1.5), attribute.Bool("cached", true)))
			span.End()
		}
	})
	b.Run("forkspan", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			traced4(context.Background())
		}
	})
}
