package genaihttp

import (
	"context"

	"go.opentelemetry.io/otel/trace"
)

// adopter is a tracer provider for a recorder that is to write on a span which is there already: the first span that is
// started in a context of adopt is that span. Others, such as the phases of a request, are started as usual.
type adopter struct {
	trace.TracerProvider
}

// Tracer returns a tracer that adopts.
func (a adopter) Tracer(name string, opts ...trace.TracerOption) trace.Tracer {
	return adoptingTracer{Tracer: a.TracerProvider.Tracer(name, opts...)}
}

type adoptingTracer struct {
	trace.Tracer
}

// adoption is the context in which a recorder starts its request.
type adoption struct {
	context.Context
	span trace.Span
}

type adoptKey struct{}

func (a *adoption) Value(key any) any {
	if _, ok := key.(adoptKey); ok {
		return a
	}
	return a.Context.Value(key)
}

// adopt returns a context in which an adopter's tracer takes span, which is the one in ctx, for its own.
func adopt(ctx context.Context, span trace.Span) context.Context {
	return &adoption{Context: ctx, span: span}
}

// Start returns the adopted span with the attributes of opts, or starts a new one. The adopted span keeps its name, kind and
// start.
func (t adoptingTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	a, ok := ctx.Value(adoptKey{}).(*adoption)
	if !ok {
		return t.Tracer.Start(ctx, name, opts...)
	}
	if config := trace.NewSpanStartConfig(opts...); a.span.IsRecording() {
		a.span.SetName(name)
		a.span.SetAttributes(config.Attributes()...)
	}
	return a.Context, a.span
}
