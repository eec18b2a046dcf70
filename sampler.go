package forkspan

import (
	"reflect"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

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

// predictionFor recognises the SDK's own samplers when an option gives one; of others nothing is known. Descriptions do
// not tell: a sampler that embeds another and decides by itself has the other's.
func predictionFor(s sdktrace.Sampler) prediction {
	switch {
	case reflect.DeepEqual(s, sdktrace.AlwaysSample()):
		return prediction{root: sampled}
	case reflect.DeepEqual(s, sdktrace.NeverSample()):
		return prediction{root: unsampled}
	case reflect.DeepEqual(s, sdktrace.ParentBased(sdktrace.AlwaysSample())):
		return prediction{parentBased: true, root: sampled}
	}
	return prediction{}
}
