package journal_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"forkspan.dev/forkspan/journal"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// BenchmarkSpan is a span of OpenTelemetry's SDK, exported in batches to an exporter that does nothing, without and with a
// journal beside it. The difference within one run is what the journal costs; cpu-ns/op has all threads' time, the
// background's too. The folder is the system's temporary one (TMPDIR):
//
//	TMPDIR=/dev/shm go test -run '^$' -bench Span -count 5 ./journal
func BenchmarkSpan(b *testing.B) {
	b.Run("without", func(b *testing.B) {
		benchmark(b, sdktrace.NewTracerProvider(sdktrace.WithResource(testResource), sdktrace.WithBatcher(discard{})))
	})
	b.Run("journal", func(b *testing.B) {
		w := create(b, b.TempDir())
		benchmark(b, provider(w, sdktrace.WithBatcher(w.Exporter(discard{}))))
		if s := w.Stats(); s.Lost > 0 {
			b.Errorf("%d records lost: %v", s.Lost, w.Err())
		}
	})
	// As below forkspan run, whose reader is counted here as well: nothing else takes the spans.
	b.Run("read", func(b *testing.B) {
		dir := b.TempDir()
		tail, err := journal.OpenTail(dir, nil)
		if err != nil {
			b.Fatal(err)
		}
		w := create(b, dir, journal.WithReader())
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				_, err1 := tail.Poll()
				if err := errors.Join(err1, tail.Consume()); err != nil {
					b.Error(err)
				}
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		}()
		benchmark(b, provider(w))
		close(stop)
		<-stopped
		if s := w.Stats(); s.Lost > 0 {
			b.Errorf("%d records lost: %v", s.Lost, w.Err())
		}
		if _, err := tail.Close(true); err != nil {
			b.Error(err)
		}
	})
	b.Run("plain", func(b *testing.B) {
		w := create(b, b.TempDir(), journal.WithPlainWrites())
		benchmark(b, provider(w, sdktrace.WithBatcher(w.Exporter(discard{}))))
	})
}

func benchmark(b *testing.B, tp *sdktrace.TracerProvider) {
	defer func() { _ = tp.Shutdown(context.Background()) }()
	tracer := tp.Tracer("bench")
	b.ReportAllocs()
	before := cpuTime()
	for b.Loop() {
		_, span := tracer.Start(context.Background(), "Load model", trace.WithAttributes(
			attribute.String("code.function", "Load"),
			attribute.String("code.namespace", "forkspan.dev/forkspan/journal"),
			attribute.String("code.filepath", "/src/forkspan/journal/bench_test.go"),
			attribute.String("code.lineno", "57"),
		))
		span.End()
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
}
