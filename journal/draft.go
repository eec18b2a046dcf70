package journal

import (
	"bytes"
	"encoding/binary"
	"unsafe"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// draft is a span in the making. Most of what a span's end has was written at its start already, and is kept until then: to ask a span
// of the SDK for something is to copy all of it.
type draft struct {
	hash  uint64 // of the span's ids
	at    place  // of the start's record; without a segment when nobody has to release it
	b     []byte // the record of the start or of the whole span
	from  *spanContext
	begun int    // how much of b is what was known at the start, except the flags
	flags uint32 // of the span

	// Where the start is for the end to refer to.
	sequence uint32 // of its segment; 0 when it is nowhere
	offset   int

	rest   []byte // the record of what the end adds to the start; without length when the whole span is written
	fields int    // how much of it, with the head, the fields of the span take

	// By these a span that ends is known to be the one of b, and unchanged.
	name  string
	start int64 // Unix nanoseconds
	attrs []attribute.KeyValue
	links int
}

const (
	// keptDrafts is how many spans at most have a draft kept while they are open.
	keptDrafts = 1 << 10
	// keptDraft is the size of the largest draft that is kept, or used again for another span, in bytes.
	keptDraft = 4 << 10
)

// begin makes d the record of the start of s.
func (d *draft) begin(s sdktrace.ReadOnlySpan, sc *trace.SpanContext, from *spanContext) {
	d.from = from
	d.write(s, sc)
	d.b[atKind] = byte(kindStart)
	d.b = finishRecord(appendFlags(d.b, 16, d.flags))
}

// end writes the end of s to d, which may be the draft of its start. With refer, that start is where an end can refer to it.
func (d *draft) end(s sdktrace.ReadOnlySpan, sc *trace.SpanContext, contexts *contextTable, refer bool) {
	attrs, links := s.Attributes(), s.Links()
	d.rest = d.rest[:0]
	if !d.isOf(s, attrs) {
		d.from = contexts.find(s.Resource(), s.InstrumentationScope())
		d.write(s, sc)
		d.finishWhole(appendEnd(d.b, s))
		return
	}
	d.rest = beginRecord(d.rest, kindRest, d.from.number)
	d.rest = appendAttributes(d.rest, 9, attrs[len(d.attrs):])
	d.rest = appendLinks(d.rest, links)
	d.rest = appendEnd(d.rest, s)
	d.fields = len(d.rest)
	if !refer {
		d.makeWhole()
		return
	}
	d.rest = finishRecord(binary.LittleEndian.AppendUint32(d.rest, uint32(d.offset)))
}

// makeWhole makes the record of the whole span of the start and the rest.
func (d *draft) makeWhole() {
	d.finishWhole(append(d.b[:d.begun], d.rest[recordHead:d.fields]...))
	d.rest = d.rest[:0]
}

func (d *draft) finishWhole(b []byte) {
	b[atKind] = byte(kindEnd)
	d.b = finishRecord(appendFlags(b, 16, d.flags))
}

// record is the record of the span's end.
func (d *draft) record() []byte {
	if len(d.rest) > 0 {
		return d.rest
	}
	return d.b
}

// isOf tells whether d, with nothing changed, is the beginning of s, whose attributes these are.
func (d *draft) isOf(s sdktrace.ReadOnlySpan, attrs []attribute.KeyValue) bool {
	return d.begun > 0 && d.links == 0 && d.start == s.StartTime().UnixNano() && d.name == s.Name() && isPrefix(d.attrs, attrs)
}

// isPrefix tells whether b begins with the attributes a. Those that are not of one value each count as different: a comparison of
// them could be a panic.
func isPrefix(a, b []attribute.KeyValue) bool {
	if len(a) > len(b) {
		return false
	}
	if bytes.Equal(memoryOf(a), memoryOf(b[:len(a)])) {
		return true // as mostly; to look at each costs five times as much
	}
	for i := range a {
		x, y := &a[i], &b[i]
		if x.Key != y.Key || x.Value.Type() != y.Value.Type() {
			return false
		}
		same := false
		switch x.Value.Type() {
		case attribute.STRING:
			same = x.Value.AsString() == y.Value.AsString()
		case attribute.INT64, attribute.BOOL, attribute.FLOAT64:
			same = x.Value == y.Value
		}
		if !same {
			return false
		}
	}
	return true
}

// memoryOf is what a slice of attributes holds, without what its pointers point to. None of that is ever changed in place.
func memoryOf(attrs []attribute.KeyValue) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(attrs))), len(attrs)*int(unsafe.Sizeof(attribute.KeyValue{})))
}

// write writes what may be known of s at its start.
func (d *draft) write(s sdktrace.ReadOnlySpan, sc *trace.SpanContext) {
	parent, attrs, links := s.Parent(), s.Attributes(), s.Links()
	d.name, d.start, d.links = s.Name(), s.StartTime().UnixNano(), len(links)
	d.attrs = append(d.attrs[:0], attrs...)
	d.flags = flagsOf(sc.TraceFlags(), parent.IsRemote())
	d.b = beginRecord(d.b[:0], 0, d.from.number)
	d.b = appendBeginning(d.b, s.SpanKind(), sc, parent.SpanID(), d.name, d.start)
	d.b = appendAttributes(d.b, 9, attrs)
	d.b = appendLinks(d.b, links)
	d.begun = len(d.b)
}

// newDraft returns an empty draft.
func (w *Writer) newDraft() *draft { return w.drafts.Get().(*draft) }

// free lets d be used for another span.
func (w *Writer) free(d *draft) {
	if cap(d.b) > keptDraft || cap(d.rest) > keptDraft {
		return // or drafts that are too large to be kept would be all that there are
	}
	d.at, d.begun, d.sequence = place{}, 0, 0
	w.drafts.Put(d)
}
