package proxy

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/otlp"
)

// Sink takes the proxy's spans as OTLP requests. store.Store fits behind it, and so does a run.
type Sink interface {
	Append(ctx context.Context, body []byte, sum otlp.Summary) error
}

// sampler records every request. Where the caller does not sample, the span is for this machine only: recorded, and not
// sampled on the wire.
type sampler struct{}

// ShouldSample decides about one span.
func (sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	parent := trace.SpanContextFromContext(p.ParentContext)
	result := sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample, Tracestate: parent.TraceState()}
	if parent.IsValid() && !parent.IsSampled() {
		result.Decision = sdktrace.RecordOnly
	}
	return result
}

// Description names the sampler.
func (sampler) Description() string { return "forkspan.Proxy" }

// The queue in front of the sink. OpenTelemetry's own batch processor leaves out spans that are recorded and not sampled, and
// keeps the number of those it drops to itself.
const (
	maxQueue = 1 << 14                // spans that wait at most; further ones are dropped and counted
	maxBatch = 512                    // spans in one request
	maxWait  = 500 * time.Millisecond // the longest that a span waits
)

// queue is the span processor that hands spans to the sink.
type queue struct {
	exporter *otlptrace.Exporter

	mu      sync.Mutex
	spans   []sdktrace.ReadOnlySpan
	stopped bool
	stored  int64
	dropped int64

	wake chan struct{} // capacity 1
	stop chan struct{}
	done chan struct{}
}

func newQueue(sink Sink) *queue {
	q := &queue{
		exporter: otlptrace.NewUnstarted(sinkClient{sink}),
		wake:     make(chan struct{}, 1),
		stop:     make(chan struct{}),
		done:     make(chan struct{}),
	}
	go q.run()
	return q
}

// OnStart does nothing: a request is stored when it ends.
func (q *queue) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd queues the span.
func (q *queue) OnEnd(s sdktrace.ReadOnlySpan) {
	q.mu.Lock()
	if q.stopped || len(q.spans) >= maxQueue {
		q.dropped++
		q.mu.Unlock()
		return
	}
	q.spans = append(q.spans, s)
	full := len(q.spans) >= maxBatch
	q.mu.Unlock()
	if full {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

func (q *queue) run() {
	defer close(q.done)
	tick := time.NewTicker(maxWait)
	defer tick.Stop()
	for {
		select {
		case <-q.wake:
		case <-tick.C:
		case <-q.stop:
			q.drain()
			return
		}
		q.drain()
	}
}

// drain hands on what is queued, in batches.
func (q *queue) drain() {
	for {
		q.mu.Lock()
		n := min(len(q.spans), maxBatch)
		batch := append([]sdktrace.ReadOnlySpan(nil), q.spans[:n]...)
		rest := copy(q.spans, q.spans[n:])
		clear(q.spans[rest:])
		q.spans = q.spans[:rest]
		q.mu.Unlock()
		if n == 0 {
			return
		}
		err := q.exporter.ExportSpans(context.Background(), batch)
		q.mu.Lock()
		if err != nil {
			q.dropped += int64(n)
		} else {
			q.stored += int64(n)
		}
		q.mu.Unlock()
	}
}

// ForceFlush does nothing: nobody asks for it.
func (q *queue) ForceFlush(context.Context) error { return nil }

// Shutdown hands on what is left, and returns when that is done or ctx is.
func (q *queue) Shutdown(ctx context.Context) error {
	q.mu.Lock()
	again := q.stopped
	q.stopped = true
	q.mu.Unlock()
	if !again {
		close(q.stop)
	}
	select {
	case <-q.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("store the last spans: %w", ctx.Err())
	}
}

func (q *queue) counts() (stored, dropped int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stored, q.dropped
}

// sinkClient is the sink as the exporter wants it.
type sinkClient struct{ sink Sink }

func (sinkClient) Start(context.Context) error { return nil }
func (sinkClient) Stop(context.Context) error  { return nil }

func (c sinkClient) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans}) // on the wire the same as an export request
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	clean, sum, _, _, err := otlp.Scan(body)
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	return c.sink.Append(ctx, clean, sum)
}

// newProvider returns a provider whose spans go to the queue.
func newProvider(q *queue, runID string) (*sdktrace.TracerProvider, error) {
	attrs := []attribute.KeyValue{attribute.Int("process.pid", os.Getpid())}
	if runID != "" {
		attrs = append(attrs, attribute.String("forkspan.run.id", runID))
	}
	service := attribute.String("service.name", "forkspan proxy")
	if os.Getenv(environ.RunVariable) != "" {
		attrs = append(attrs, service) // the environment names the run's command
	}
	// What comes later wins: the environment may name the service, not the process.
	res, err := resource.New(context.Background(),
		resource.WithAttributes(service),
		resource.WithTelemetrySDK(), resource.WithFromEnv(), resource.WithAttributes(attrs...))
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithSampler(sampler{}),
		sdktrace.WithSpanProcessor(q))
	if err != nil {
		err = fmt.Errorf("read the resource from the environment: %w", err)
	}
	return provider, err
}

// discard is the sink of a proxy that has none.
type discard struct{}

func (discard) Append(context.Context, []byte, otlp.Summary) error { return nil }
