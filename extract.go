package forkspan

import (
	"context"
	"errors"
	"strings"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// ExtractOption changes what [Extract] does.
type ExtractOption interface{ applyExtract(*extractSettings) }

type extractSettings struct{ ambient bool }

type extractOptionFunc func(*extractSettings)

func (f extractOptionFunc) applyExtract(s *extractSettings) { f(s) }

// WithAmbientParent is vLLM's rule for requests that carry no trace headers at all: they are children of the span in ctx,
// or of the environment's, for as long as the process lives.
func WithAmbientParent() ExtractOption {
	return extractOptionFunc(func(s *extractSettings) { s.ambient = true })
}

// Extract returns ctx with the caller's span from the headers of an incoming request, as the parent of spans to come.
//
// A request without a valid one starts a trace of its own: the returned context is marked as a new root, so that neither
// a span in ctx nor the environment becomes the parent; what is started in it is linked to that span instead.
// (vLLM does so only for headers that are there and invalid, without the link. Requests without any it hangs under the
// start-up trace for ever; for that rule see [WithAmbientParent].)
//
// When ctx already holds a local span of the caller's trace, as after OpenTelemetry's own server middleware, ctx is
// returned with that span, so that spans become its children and not its siblings.
//
// Headers are read by the tracer's propagators, by default W3C trace context and baggage. Trace context is read strictly
// by W3C Trace Context, level 2: a traceparent that is there twice is invalid, several tracestate headers are one list in
// their order, empty members are allowed, and a tracestate with a broken key or value, or more than 32 members, is
// discarded while the parent is kept. For this, the carrier has to be a [propagation.ValuesGetter], as
// [propagation.HeaderCarrier] is.
func Extract(ctx context.Context, carrier propagation.TextMapCarrier, opts ...ExtractOption) context.Context {
	return extract(active.Load(), ctx, carrier, opts)
}

// Extract is [Extract] with this tracer's propagators.
func (t *Tracer) Extract(ctx context.Context, carrier propagation.TextMapCarrier, opts ...ExtractOption) context.Context {
	if t.off() {
		t = nil
	}
	return extract(t, ctx, carrier, opts)
}

// defaultPropagators serve while tracing is disabled: the caller's context is still handed on.
var defaultPropagators = propagation.NewCompositeTextMapPropagator(strictTraceContext{}, propagation.Baggage{})

func extract(t *Tracer, ctx context.Context, carrier propagation.TextMapCarrier, opts []ExtractOption) context.Context {
	if ctx == nil {
		ctx = context.Background()
	}
	if carrier == nil {
		carrier = propagation.MapCarrier{}
	}
	var s extractSettings
	for _, o := range opts {
		if o != nil {
			o.applyExtract(&s)
		}
	}
	propagators := defaultPropagators
	if t != nil {
		propagators = t.propagators
	}
	local := trace.SpanFromContext(ctx)
	bare := trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	got := propagators.Extract(bare, carrier)
	caller := trace.SpanContextFromContext(got)
	here := local.SpanContext()
	switch {
	case caller.IsValid() && here.IsValid() && !here.IsRemote() && here.TraceID() == caller.TraceID():
		return trace.ContextWithSpan(got, local)
	case caller.IsValid():
		return got
	case s.ambient && !HasTraceHeaders(carrier):
		return trace.ContextWithSpan(got, local)
	}
	_, ambient, links := t.parent(ctx)
	if ambient.IsValid() {
		links = []trace.Link{{SpanContext: ambient}}
	}
	return context.WithValue(got, rootKey{}, &rootMark{links: links})
}

// rootMark in a context without a valid span stops the fallback to the environment.
type rootMark struct {
	links []trace.Link // to the parent that was not taken
}

type rootKey struct{}

// newRootMark returns the mark in ctx, or nil. It means something only where ctx holds no valid span.
func newRootMark(ctx context.Context) *rootMark {
	m, _ := ctx.Value(rootKey{}).(*rootMark)
	return m
}

func isNewRoot(ctx context.Context) bool { return newRootMark(ctx) != nil }

// HasTraceHeaders reports whether the carrier has a traceparent or a tracestate, valid or not.
func HasTraceHeaders(carrier propagation.TextMapCarrier) bool {
	return carrier != nil &&
		(len(carrierValues(carrier, traceparentName)) > 0 || len(carrierValues(carrier, tracestateName)) > 0)
}

// TraceHeaders returns the carrier's traceparent and tracestate, just those that are there: what to hand on to another
// process that will extract them. Repeated headers are joined with a comma, which makes one list of several tracestate
// headers and keeps a repeated traceparent invalid. It never returns nil.
func TraceHeaders(carrier propagation.TextMapCarrier) map[string]string {
	h := map[string]string{}
	if carrier == nil {
		return h
	}
	for _, name := range []string{traceparentName, tracestateName} {
		if values := carrierValues(carrier, name); len(values) > 0 {
			h[name] = strings.Join(values, ",")
		}
	}
	return h
}

// ErrDisabled is what [WarnIfDisabled] reports.
var ErrDisabled = errors.New("received a request with trace context but tracing is disabled")

var warnOnce sync.Once

// WarnIfDisabled reports [ErrDisabled] to OpenTelemetry's global error handler when tracing is disabled and the carrier
// has trace headers, once per process. A server calls it with each request, as vLLM does.
func WarnIfDisabled(carrier propagation.TextMapCarrier) {
	if Enabled() || !HasTraceHeaders(carrier) {
		return
	}
	warnOnce.Do(func() { otel.Handle(ErrDisabled) })
}
