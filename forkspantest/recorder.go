package forkspantest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Recorder is a span processor that keeps the spans of this process. It is safe for concurrent use.
type Recorder struct {
	mu      sync.Mutex
	started []sdktrace.ReadOnlySpan
	ended   []sdktrace.ReadOnlySpan
	changes signal
}

var _ sdktrace.SpanProcessor = (*Recorder)(nil)

// NewRecorder returns an empty recorder, to be given to a tracer provider with sdktrace.WithSpanProcessor. Tests of programs
// that use package forkspan call [Install] instead.
func NewRecorder() *Recorder { return &Recorder{} }

// Spans returns the spans that have ended, in the order in which they did.
func (r *Recorder) Spans() []sdktrace.ReadOnlySpan {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ended)
}

// Unfinished returns the spans that were started and have not ended, in the order in which they started.
func (r *Recorder) Unfinished() []sdktrace.ReadOnlySpan {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.started)
}

// Find returns the first span of that name that has ended, and whether there is one.
func (r *Recorder) Find(name string) (sdktrace.ReadOnlySpan, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.ended {
		if s.Name() == name {
			return s, true
		}
	}
	return nil, false
}

// WaitSpans waits until n spans have ended and returns all that have. When ctx ends first, the error says how many there were.
func (r *Recorder) WaitSpans(ctx context.Context, n int) ([]sdktrace.ReadOnlySpan, error) {
	for {
		changed := r.changes.next()
		spans := r.Spans()
		if len(spans) >= n {
			return spans, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return spans, fmt.Errorf("wait for %d spans, %d have ended: %w", n, len(spans), ctx.Err())
		}
	}
}

// Reset forgets every span, those that have not ended too.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started, r.ended = nil, nil
}

// Tree draws the spans, unfinished ones included: one line a span, children indented by two blanks below their parents,
// siblings by start. In brackets stand the kind unless it is internal, "unfinished", an error's status, and "parent elsewhere"
// for a span whose parent is not held here. The attributes named by keys follow, of the span or else of its resource.
func (r *Recorder) Tree(keys ...string) string {
	r.mu.Lock()
	spans := slices.Concat(r.ended, r.started)
	r.mu.Unlock()
	var nodes []*node
	for _, s := range spans {
		nodes = append(nodes, sdkNode(s))
	}
	return drawTree(nodes, keys)
}

func sdkNode(s sdktrace.ReadOnlySpan) *node {
	n := &node{
		trace: s.SpanContext().TraceID().String(),
		id:    s.SpanContext().SpanID().String(),
		name:  s.Name(),
		start: s.StartTime().UnixNano(),
		marks: describe(s.SpanKind().String(), s.EndTime().IsZero(),
			s.Status().Code == codes.Error, s.Status().Description),
		attribute: func(key string) (string, bool) {
			for _, kv := range append(s.Attributes(), s.Resource().Attributes()...) {
				if string(kv.Key) == key {
					return kv.Value.String(), true
				}
			}
			return "", false
		},
	}
	if s.Parent().SpanID().IsValid() {
		n.parent = s.Parent().SpanID().String()
	}
	return n
}

// OnStart keeps a span that starts.
func (r *Recorder) OnStart(_ context.Context, s sdktrace.ReadWriteSpan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started = append(r.started, s)
}

// OnEnd keeps a span that ends. A span whose start [Recorder.Reset] has forgotten is not kept.
func (r *Recorder) OnEnd(s sdktrace.ReadOnlySpan) {
	defer r.changes.fire()
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.started, func(o sdktrace.ReadOnlySpan) bool {
		return o.SpanContext().Equal(s.SpanContext())
	})
	if i < 0 {
		return
	}
	r.started = slices.Delete(r.started, i, i+1)
	r.ended = append(r.ended, s)
}

// ForceFlush does nothing: a span is kept as soon as it ends.
func (r *Recorder) ForceFlush(context.Context) error { return nil }

// Shutdown does nothing: the spans stay readable.
func (r *Recorder) Shutdown(context.Context) error { return nil }
