package journal

import (
	"encoding/binary"
	"unsafe"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// place is where a record is.
type place struct {
	segment *segment
	offset  int
}

// owed is where the last records are of the spans that an exporter has not taken yet, by the hashes of their ids. It is not safe
// for concurrent use.
type owed struct {
	open  openSpans
	ended []endedSpan // spans that have ended, from head on, in the order of their ends
	head  int
	stray map[uint64][]place // of ended ones that were passed over; more than one where ids are not unique
}

// endedSpan is a span that has ended. Exporters get spans nearly in the order of their ends, and mostly the very ones that processors
// get: that is seen without a look into them, which another CPU has written.
type endedSpan struct {
	place // its segment is nil when it has been taken
	hash  uint64
	span  sdktrace.ReadOnlySpan
}

// hashOf makes one word of a span's ids. Two spans with the same one would release each other; ids are random, and those that are
// counted up do not meet.
func hashOf(trace trace.TraceID, span trace.SpanID) uint64 {
	const odd1, odd2 = 0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f
	le := binary.LittleEndian
	return le.Uint64(span[:]) + odd1*le.Uint64(trace[:8]) + odd2*le.Uint64(trace[8:])
}

const (
	// nearHead is how far the order of exports may differ from that of ends.
	nearHead = 64
	// mostEnded is about how many spans are held at most for being compared.
	mostEnded = 1 << 13
)

func newOwed() owed { return owed{open: newOpenSpans(), stray: map[uint64][]place{}} }

// end notes a span that has ended.
func (o *owed) end(hash uint64, at place, span sdktrace.ReadOnlySpan) {
	if len(o.ended) == cap(o.ended) {
		o.makeRoom()
	}
	o.ended = append(o.ended, endedSpan{at, hash, span})
}

// makeRoom moves the ended spans to the beginning of their room, if half of it has been taken. Of too many the first are passed over.
func (o *owed) makeRoom() {
	if len(o.ended)-o.head >= mostEnded {
		for len(o.ended)-o.head > mostEnded/2 {
			o.passOver()
		}
	}
	if o.head < len(o.ended)/2 {
		return // it shall grow
	}
	n := copy(o.ended, o.ended[o.head:])
	clear(o.ended[n:])
	o.ended, o.head = o.ended[:n], 0
}

// passOver moves the first ended span to the strays.
func (o *owed) passOver() {
	e := &o.ended[o.head]
	if e.segment != nil {
		o.stray[e.hash] = append(o.stray[e.hash], e.place)
		*e = endedSpan{}
	}
	o.head++
}

// take takes an ended span out, if it is one of the next, and returns where its record is.
func (o *owed) take(span sdktrace.ReadOnlySpan) (place, bool) {
	near := o.ended[o.head:min(o.head+nearHead, len(o.ended))]
	for i := range near {
		if e := &near[i]; isSame(e.span, span) {
			return o.takeOut(e), true
		}
	}
	return place{}, false
}

// takeByHash takes an ended span out, wherever it is.
func (o *owed) takeByHash(hash uint64) (at place, found bool) {
	near := o.ended[o.head:min(o.head+nearHead, len(o.ended))]
	for i := range near {
		if e := &near[i]; e.hash == hash && e.segment != nil {
			return o.takeOut(e), true
		}
	}
	if places := o.stray[hash]; len(places) > 1 {
		o.stray[hash] = places[1:]
		return places[0], true
	} else if len(places) == 1 {
		delete(o.stray, hash)
		return places[0], true
	}
	for ; o.head < len(o.ended); o.passOver() {
		if e := &o.ended[o.head]; e.hash == hash && e.segment != nil {
			return o.takeOut(e), true
		}
	}
	return place{}, false
}

// takeOut takes out one of the spans near the head.
func (o *owed) takeOut(e *endedSpan) place {
	at := e.place
	*e = endedSpan{}
	for o.head < len(o.ended) && o.ended[o.head].segment == nil {
		o.head++
	}
	return at
}

// isSame tells whether two spans are the same object. To compare them as interfaces would be a panic for some types.
func isSame(a, b sdktrace.ReadOnlySpan) bool {
	type words [2]unsafe.Pointer // type and object
	return *(*words)(unsafe.Pointer(&a)) == *(*words)(unsafe.Pointer(&b))
}
