package journal

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// draft is the record of a span in the making. Most of what a span's end has was written at its start already, and is kept until then:
// to ask a span of the SDK for something is to copy all of it.
type draft struct {
	at    place  // of the start's record; without a segment when nobody has to release it
	b     []byte // the record
	from  *spanContext
	begun int    // how much of b is what was known at the start, except the flags
	flags uint32 // of the span

	// By these a span that ends is known to be the one of b, and unchanged.
	name  string
	start time.Time
	attrs []attribute.KeyValue
	links int
}

const (
	// keptDrafts is how many spans at most have a draft kept while they are open.
	keptDrafts = 1 << 10
	// keptDraft is the size of the largest draft that is kept, in bytes.
	keptDraft = 4 << 10
	// pooledDraft is the size of the largest that is used again for another span.
	pooledDraft = 64 << 10
)

// begin makes d the record of the start of s.
func (d *draft) begin(s sdktrace.ReadOnlySpan, sc *trace.SpanContext, from *spanContext) {
	d.from = from
	d.write(s, sc)
	d.b[atKind] = byte(kindStart)
	d.b = finishRecord(appendFlags(d.b, 16, d.flags))
}

// end makes d, which may be the draft of the start of s, the record of its end.
func (d *draft) end(s sdktrace.ReadOnlySpan, sc *trace.SpanContext, contexts *contextTable) {
	attrs, links := s.Attributes(), s.Links()
	if d.isOf(s, attrs, links) {
		d.b = d.b[:d.begun]
	} else {
		d.from = contexts.find(s.Resource(), s.InstrumentationScope())
		d.write(s, sc)
	}
	d.b[atKind] = byte(kindEnd)
	d.b = finishRecord(appendFlags(appendEnd(d.b, s), 16, d.flags))
}

// isOf tells whether d begins as s does, whose attributes and links these are.
func (d *draft) isOf(s sdktrace.ReadOnlySpan, attrs []attribute.KeyValue, links []sdktrace.Link) bool {
	return d.begun > 0 && d.links == 0 && len(links) == 0 && d.start.Equal(s.StartTime()) && d.name == s.Name() && same(d.attrs, attrs)
}

// same tells whether attributes are equal. Those that are not of one value each count as different: a comparison of them could be a
// panic.
func same(a, b []attribute.KeyValue) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		switch a[i].Value.Type() {
		case attribute.STRING, attribute.INT64, attribute.BOOL, attribute.FLOAT64:
			if a[i] != b[i] {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// write writes what may be known of s at its start.
func (d *draft) write(s sdktrace.ReadOnlySpan, sc *trace.SpanContext) {
	parent, attrs, links := s.Parent(), s.Attributes(), s.Links()
	d.name, d.start, d.links = s.Name(), s.StartTime(), len(links)
	d.attrs = append(d.attrs[:0], attrs...)
	d.flags = flagsOf(sc.TraceFlags(), parent.IsRemote())
	d.b = beginRecord(d.b[:0], 0, d.from.number)
	d.b = appendBeginning(d.b, s.SpanKind(), sc, parent.SpanID(), d.name, d.start)
	d.b = appendAttributes(d.b, 9, attrs)
	for _, l := range links {
		d.b = appendMessage(d.b, 13, func(b []byte) []byte { return appendLink(b, l) })
	}
	d.begun = len(d.b)
}

// newDraft returns an empty draft.
func (w *Writer) newDraft() *draft { return w.drafts.Get().(*draft) }

// free lets d be used for another span.
func (w *Writer) free(d *draft) {
	if cap(d.b) > pooledDraft {
		return // and not for ever the largest that ever was
	}
	d.at, d.begun = place{}, 0
	w.drafts.Put(d)
}
