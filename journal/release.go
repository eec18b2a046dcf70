package journal

import (
	"context"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Exporter returns an exporter that hands spans to e and, when e has taken them, releases them from the journal, so that it
// does not grow. Use it in place of e, register the Writer before the processor that exports, and call Exporter before the
// first span:
//
//	w, err := journal.Create(dir)
//	…
//	tp := sdktrace.NewTracerProvider(
//		sdktrace.WithSpanProcessor(w),
//		sdktrace.WithBatcher(w.Exporter(exporter)),
//	)
//
// Spans of an export that failed stay in the journal, for [Recover].
func (w *Writer) Exporter(e sdktrace.SpanExporter) sdktrace.SpanExporter {
	w.tracked.Store(true)
	return &exporter{w: w, next: e}
}

type exporter struct {
	w    *Writer
	next sdktrace.SpanExporter
}

// ExportSpans exports spans, and releases them when there was no error.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.next.ExportSpans(ctx, spans)
	if err == nil {
		e.w.process().release(spans)
	}
	return err
}

// Shutdown shuts the exporter down, and with it the journal once its Writer is.
func (e *exporter) Shutdown(ctx context.Context) error {
	err := e.next.Shutdown(ctx)
	e.w.finish(func() { e.w.exported = true })
	return err
}

// move notes that the last record of a span, by its hash, is at to now. The one before, in another segment, must not come back as
// a span that has not ended when this one is gone.
func (p *process) move(h uint64, to place) {
	to.segment.pins++
	if to.start {
		to.segment.starts++
	}
	if at := p.spans[h]; at != nil {
		from := *at
		*at = to
		p.drop(from, from.segment != to.segment)
		return
	}
	var at *place
	if last := len(p.unused) - 1; last >= 0 {
		at, p.unused = p.unused[last], p.unused[:last]
	} else {
		at = new(place)
	}
	*at = to
	p.spans[h] = at
}

// drop lets go of a record; mark says so in the file.
func (p *process) drop(at place, mark bool) {
	if mark {
		_ = at.segment.markDone(at.offset) // or it comes twice
	}
	at.segment.pins--
	if at.start {
		at.segment.starts--
	}
	p.retire(at.segment)
}

// release lets go of spans.
func (p *process) release(spans []sdktrace.ReadOnlySpan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	for _, s := range spans {
		sc := s.SpanContext()
		h := spanKey{sc.TraceID(), sc.SpanID()}.hash()
		if at := p.spans[h]; at != nil {
			delete(p.spans, h)
			p.drop(*at, true)
			*at = place{}
			p.unused = append(p.unused, at)
		}
	}
}
