package forkspan

import (
	"context"
	"os"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"
)

// ParentContext returns the context that a span started in ctx gets its parent from: ctx itself when it holds a valid
// span, else ctx with the span that the environment names. It is [Start]'s rule, for code that starts spans in other ways.
//
// The environment's parent is in traceparent, or TRACEPARENT when traceparent is not set at all: as in vLLM, a lower-case
// variable that is there wins even when its value is garbage. The same goes for tracestate. A ctx that [Extract] has
// marked as a new root is returned as it is.
func ParentContext(ctx context.Context) context.Context {
	if ctx == nil {
		ctx = context.Background()
	}
	if trace.SpanContextFromContext(ctx).IsValid() || isNewRoot(ctx) {
		return ctx
	}
	if p := environmentParent(); p != nil {
		return trace.ContextWithSpan(ctx, p.span)
	}
	return ctx
}

// ambientParent is a parent that came from the environment, and the values it was read from.
type ambientParent struct {
	traceparent, tracestate string
	span                    trace.Span // remote and not recording; nil when traceparent is invalid
	sc                      trace.SpanContext
}

// lastAmbient is what was read last. The variables are looked up every time, since anybody may change them, but parsed
// only when they have changed.
var lastAmbient atomic.Pointer[ambientParent]

// environmentParent returns the parent that the environment names, or nil.
func environmentParent() *ambientParent {
	tp, ok := lookupTrace(traceparentName)
	if !ok {
		return nil
	}
	ts, _ := lookupTrace(tracestateName)
	p := lastAmbient.Load()
	if p == nil || p.traceparent != tp || p.tracestate != ts {
		p = parseAmbient(tp, ts)
		lastAmbient.Store(p)
	}
	if p.span == nil {
		return nil
	}
	return p
}

func parseAmbient(tp, ts string) *ambientParent {
	p := &ambientParent{traceparent: tp, tracestate: ts}
	if c, ok := parseTraceparent(tp); ok {
		c.TraceState = parseTracestate(ts)
		p.sc = trace.NewSpanContext(c)
		p.span = trace.SpanFromContext(trace.ContextWithRemoteSpanContext(context.Background(), p.sc))
	}
	return p
}

// lookupTrace looks up a trace variable, lower case first.
func lookupTrace(name string) (string, bool) {
	if v, ok := os.LookupEnv(name); ok {
		return v, true
	}
	return os.LookupEnv(upperName(name))
}

// upperName is strings.ToUpper for the three names, without its cost.
func upperName(name string) string {
	switch name {
	case traceparentName:
		return "TRACEPARENT"
	case tracestateName:
		return "TRACESTATE"
	case baggageName:
		return "BAGGAGE"
	}
	return strings.ToUpper(name)
}
