package forkspan

import "go.opentelemetry.io/otel/trace"

// decision is what is known about a sampler's answer before it is asked.
type decision int8

const (
	undecided decision = iota
	sampled
	unsampled
)

// prediction tells before a span starts whether it will be sampled, so that call sites are looked up only for spans that
// are, and their attributes can still be there from the start.
type prediction struct {
	parentBased bool     // a valid parent's flag decides
	root        decision // for all other spans
}

func (p prediction) of(parent trace.SpanContext) decision {
	if p.parentBased && parent.IsValid() {
		if parent.IsSampled() {
			return sampled
		}
		return unsampled
	}
	return p.root
}
