package genaihttp

import (
	"context"
	"maps"
	"net/http"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

var defaultPropagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})

// outgoing is the propagator where none is given: the global one may be set later than the middleware is made.
func (c *config) outgoing() propagation.TextMapPropagator {
	if p := otel.GetTextMapPropagator(); len(p.Fields()) > 0 {
		return p
	}
	return defaultPropagator
}

// withTrace returns a copy of header that names the span in ctx, and no other. Without a valid span the header is returned as
// it is. The sampled flag on the wire is the span's own: a sampler that keeps a span for this process only, although the
// caller wants none (RECORD_ONLY in OpenTelemetry), leaves the flag unset.
func (c *config) withTrace(ctx context.Context, header http.Header) http.Header {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return header
	}
	p, fields := c.propagator, c.fields
	if p == nil {
		p = c.outgoing()
		fields = p.Fields()
	}
	out := maps.Clone(header) // the lists of values are shared, and only replaced
	if out == nil {
		out = http.Header{}
	}
	for _, field := range fields {
		// Baggage is not the span's: it is replaced only when ctx has one.
		if field != "baggage" {
			out.Del(field)
		}
	}
	p.Inject(ctx, propagation.HeaderCarrier(out))
	return out
}
