package forkspan

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// RecordOption adds to a span of [Record].
type RecordOption interface{ applyRecord(*recording) }

type recording struct {
	start  []trace.SpanStartOption
	events []recordedEvent
	err    error
}

type recordedEvent struct {
	name  string
	at    time.Time
	attrs []attribute.KeyValue
}

type recordOptionFunc func(*recording)

func (f recordOptionFunc) applyRecord(r *recording) { f(r) }

// RecordKind sets the span's kind. The default is internal.
func RecordKind(kind trace.SpanKind) RecordOption {
	return recordOptionFunc(func(r *recording) { r.start = append(r.start, trace.WithSpanKind(kind)) })
}

// RecordAttributes adds attributes. Samplers see them.
func RecordAttributes(attrs ...attribute.KeyValue) RecordOption {
	return recordOptionFunc(func(r *recording) { r.start = append(r.start, trace.WithAttributes(attrs...)) })
}

// RecordLinks adds links to other spans.
func RecordLinks(links ...trace.Link) RecordOption {
	return recordOptionFunc(func(r *recording) { r.start = append(r.start, trace.WithLinks(links...)) })
}

// RecordEvent adds an event at a time.
func RecordEvent(name string, at time.Time, attrs ...attribute.KeyValue) RecordOption {
	return recordOptionFunc(func(r *recording) { r.events = append(r.events, recordedEvent{name, at, attrs}) })
}

// RecordError marks the span as failed with err, as [End] does. A nil err is no failure.
func RecordError(err error) RecordOption {
	return recordOptionFunc(func(r *recording) { r.err = err })
}

// Record records a span after the fact, from start to end. A zero end means now, and a zero start the same
// moment as end. Its parent is found as by [Start]. The returned context holds the span, as a parent for the phases it consists of.
//
// As in vLLM there are no code.* attributes. Unlike in vLLM, attributes are known to the sampler, and the span can have
// children.
func Record(ctx context.Context, name string, start, end time.Time, opts ...RecordOption) context.Context {
	return active.Load().Record(ctx, name, start, end, opts...)
}

// Record is [Record] with this tracer.
func (t *Tracer) Record(ctx context.Context, name string, start, end time.Time, opts ...RecordOption) context.Context {
	if t.off() {
		return ctx
	}
	if end.IsZero() {
		end = time.Now()
	}
	if start.IsZero() {
		start = end
	}
	ctx, _, links := t.parent(ctx)
	r := recording{start: []trace.SpanStartOption{trace.WithTimestamp(start)}}
	if len(links) > 0 {
		r.start = append(r.start, trace.WithLinks(links...))
	}
	for _, o := range opts {
		if o != nil {
			o.applyRecord(&r)
		}
	}
	ctx, span := t.tracer.Start(ctx, name, r.start...)
	for _, e := range r.events {
		span.AddEvent(e.name, trace.WithTimestamp(e.at), trace.WithAttributes(e.attrs...))
	}
	if r.err != nil {
		failAt(span, r.err, !t.noExceptionEvents, "", end)
	}
	span.End(trace.WithTimestamp(end))
	return ctx
}
