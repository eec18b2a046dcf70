package journal

import (
	"context"
	"iter"
	"slices"

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

// start notes where the start of a span is. It tells whether d was kept for its end.
func (p *process) start(hash uint64, at place, d *draft) (kept bool) {
	kept = p.owed.open.n < keptDrafts && cap(d.b) <= keptDraft
	tracked := p.w.tracked.Load()
	switch {
	case !kept && !tracked:
		return false
	case !kept:
		d = new(draft)
	default:
		d.sequence, d.offset = p.sequence, at.offset
	}
	if tracked {
		p.owe(hash, at, d)
	} else {
		p.owed.open.put(hash, d)
	}
	return kept
}

// owe notes that the start of a span, whose draft is d, is at a place.
func (p *process) owe(hash uint64, at place, d *draft) {
	var before place
	if other := p.owed.open.put(hash, d); other != nil {
		before = other.at
	}
	d.at = at
	at.segment.pins++
	at.segment.starts++
	p.dropStart(before, at)
}

// takeOpen takes out what is known of a span that has started and is about to end; nil when that is nothing. It tells whether its end
// can refer to its start. Where ids are not unique the draft may be another's, and is of no use but for its place.
func (p *process) takeOpen(hash uint64) (d *draft, refer bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d = p.owed.open.take(hash)
	if d != nil && p.owed.open.twice {
		d.begun = 0
	}
	return d, d != nil && p.holds(d)
}

// holds tells whether the start of d is in the current segment.
func (p *process) holds(d *draft) bool { return d.sequence == p.sequence && !p.ended }

// end notes that the record of a span that has ended is at a place, and lets go of that of its start. When it could not be written,
// the place has no segment: then the start is what there is of the span, until it has been exported.
func (p *process) end(hash uint64, start, at place, span sdktrace.ReadOnlySpan) {
	switch {
	case p.ended:
	case at.segment == nil && start.segment != nil:
		start.segment.starts--
		p.owed.end(hash, start, span)
	case at.segment != nil && p.w.tracked.Load():
		at.segment.pins++
		p.owed.end(hash, at, span)
		p.dropStart(start, at)
	}
}

// dropStart lets go of a start, if there is one, which the record at to replaces. If that is in another segment, the start must not
// come back as a span that has not ended when this one is gone.
func (p *process) dropStart(start, to place) {
	if start.segment == nil {
		return
	}
	if start.segment != to.segment {
		_ = start.segment.markDone(start)
	}
	start.segment.starts--
	p.drop(start.segment, 1)
}

// drop lets go of n records of a segment.
func (p *process) drop(s *segment, n int) {
	s.pins -= n
	p.retire(s)
}

// release lets go of spans. What takes long is not done under the lock, for which spans that start and end wait.
func (p *process) release(spans []sdktrace.ReadOnlySpan) {
	places := p.take(spans)
	runs := slices.Collect(runs(places))
	for _, run := range runs {
		_ = run[0].segment.markDone(run...) // or they come twice
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, run := range runs {
		p.drop(run[0].segment, len(run))
	}
	p.recycleRetired() // here, since nobody waits for us, and waking the background would cost whoever starts or ends a span
	p.marking--
	p.tidied.Broadcast()
}

// take takes spans out of those that are owed, and returns where their records are. Until marking is counted down, their segments
// stay as they are.
func (p *process) take(spans []sdktrace.ReadOnlySpan) []place {
	places := make([]place, 0, len(spans))
	var others []sdktrace.ReadOnlySpan
	p.mu.Lock()
	p.marking++
	for _, s := range spans {
		if at, ok := p.owed.take(s); ok {
			places = append(places, at)
		} else {
			others = append(others, s)
		}
	}
	p.mu.Unlock()
	for _, s := range others { // whoever is between us and the processor has put others in the place of ours
		sc := s.SpanContext()
		p.mu.Lock()
		at, ok := p.owed.takeByHash(hashOf(sc.TraceID(), sc.SpanID()))
		p.mu.Unlock()
		if ok {
			places = append(places, at)
		}
	}
	return places
}

// runs are the parts of places, one after the other, that are in one segment each.
func runs(places []place) iter.Seq[[]place] {
	return func(yield func([]place) bool) {
		for len(places) > 0 {
			n := 1
			for n < len(places) && places[n].segment == places[0].segment {
				n++
			}
			if !yield(places[:n]) {
				return
			}
			places = places[n:]
		}
	}
}
