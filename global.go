package forkspan

import (
	"context"
	"fmt"
	"reflect"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
	"go.opentelemetry.io/otel/trace/noop"
)

// swapProvider is the tracer provider that OpenTelemetry's globals know. Tracers that were taken from the globals early
// are bound to the first provider that is set, once and for all, so it has to be one whose target can be swapped.
type swapProvider struct {
	embedded.TracerProvider
	target atomic.Pointer[swapTarget]
}

// swapTarget is a value of its own, so that tracers see by its address that it has changed.
type swapTarget struct{ provider trace.TracerProvider }

var globalProvider = newSwapProvider()

func newSwapProvider() *swapProvider {
	p := &swapProvider{}
	p.swap(noop.NewTracerProvider())
	return p
}

func (p *swapProvider) swap(to trace.TracerProvider) { p.target.Store(&swapTarget{provider: to}) }

// Tracer returns a tracer that follows the provider's target.
func (p *swapProvider) Tracer(name string, opts ...trace.TracerOption) trace.Tracer {
	return &swapTracer{provider: p, name: name, opts: opts}
}

type swapTracer struct {
	embedded.Tracer
	provider *swapProvider
	name     string
	opts     []trace.TracerOption
	cached   atomic.Pointer[boundTracer]
}

type boundTracer struct {
	target *swapTarget
	tracer trace.Tracer
}

// Start starts a span with the tracer of the provider's present target.
func (t *swapTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	target := t.provider.target.Load()
	bound := t.cached.Load()
	if bound == nil || bound.target != target {
		bound = &boundTracer{target: target, tracer: target.provider.Tracer(t.name, t.opts...)}
		t.cached.Store(bound)
	}
	return bound.tracer.Start(ctx, name, opts...)
}

// upstreamGlobals is where OpenTelemetry's own placeholders live, which mean that nobody has set anything.
const upstreamGlobals = "go.opentelemetry.io/otel/internal/global"

// isPlaceholder reports whether v is what the globals hold before anybody has set them.
func isPlaceholder(v any) bool {
	t := reflect.TypeOf(v)
	if t == nil {
		return true
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath() == upstreamGlobals
}

// globals remembers what the globals were, for Shutdown.
type globals struct {
	provider   trace.TracerProvider          // nil when it was not set
	propagator propagation.TextMapPropagator // likewise
	ours       propagation.TextMapPropagator
}

// installGlobals makes provider and p OpenTelemetry's globals. What others have set is left alone and named in the error,
// unless replace is given.
func installGlobals(provider trace.TracerProvider, p propagation.TextMapPropagator, replace bool) (globals, error) {
	var g globals
	var err error
	globalProvider.swap(provider)
	switch current := otel.GetTracerProvider(); {
	case current == trace.TracerProvider(globalProvider):
	case isPlaceholder(current) || replace:
		g.provider = current
		otel.SetTracerProvider(globalProvider)
	default:
		err = fmt.Errorf("set global tracer provider: %T is already set and was left alone, "+
			"so spans of other libraries go there; forkspan.WithReplaceGlobal replaces it", current)
	}
	if current := otel.GetTextMapPropagator(); isPlaceholder(current) || replace {
		g.propagator, g.ours = current, p
		otel.SetTextMapPropagator(p)
	}
	return g, err
}

// restore puts the globals back, unless somebody else has changed them since.
func (g globals) restore() {
	globalProvider.swap(noop.NewTracerProvider())
	if g.provider != nil && otel.GetTracerProvider() == trace.TracerProvider(globalProvider) {
		otel.SetTracerProvider(g.provider)
	}
	if g.propagator != nil && samePropagator(otel.GetTextMapPropagator(), g.ours) {
		otel.SetTextMapPropagator(g.propagator)
	}
}

// propagatorSet is the propagators of a tracer as one; a pointer type, so that it can be told from others.
type propagatorSet struct{ propagation.TextMapPropagator }

func samePropagator(a, b propagation.TextMapPropagator) bool {
	x, okX := a.(*propagatorSet)
	y, okY := b.(*propagatorSet)
	return okX && okY && x == y
}
