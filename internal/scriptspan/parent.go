package scriptspan

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"forkspan.dev/forkspan/internal/otlp"
)

// SeedPrefix begins the name of a parent that is known by its seed.
const SeedPrefix = "seed:"

// SeedIDs are the ids that a text stands for, the same on every machine: the first 16 bytes of SHA-256("forkspan trace\n" + text)
// and the first 8 of SHA-256("forkspan span\n" + text).
func SeedIDs(text string) (otlp.TraceID, otlp.SpanID) {
	trace := sha256.Sum256([]byte("forkspan trace\n" + text))
	span := sha256.Sum256([]byte("forkspan span\n" + text))
	return otlp.TraceID(trace[:16]), otlp.SpanID(span[:8])
}

// ParseParent reads a traceparent, or seed:TEXT for the span that was started with that seed.
func ParseParent(text string) (trace.SpanContext, error) {
	if seed, ok := strings.CutPrefix(text, SeedPrefix); ok {
		if seed == "" {
			return trace.SpanContext{}, errors.New("no text after seed:")
		}
		traceID, spanID := SeedIDs(seed)
		return trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID(traceID), SpanID: trace.SpanID(spanID), TraceFlags: trace.FlagsSampled, Remote: true,
		}), nil
	}
	carrier := propagation.MapCarrier{"traceparent": text}
	found := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
	if !found.IsValid() {
		return found, fmt.Errorf("%q is no traceparent (00-32 hex digits-16 hex digits-01)", text)
	}
	return found, nil
}

// ParseKind reads a span kind: internal, server, client, producer or consumer.
func ParseKind(text string) (otlp.Kind, error) {
	for i, name := range Kinds() {
		if text == name {
			return otlp.KindInternal + otlp.Kind(i), nil
		}
	}
	return 0, fmt.Errorf("unknown kind %q", text)
}

// Kinds are the words that [ParseKind] reads.
func Kinds() []string { return []string{"internal", "server", "client", "producer", "consumer"} }
