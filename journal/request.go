package journal

import (
	"iter"

	"google.golang.org/protobuf/encoding/protowire"
)

// The most of a request that [Journal.Requests] makes.
const (
	requestSpans = 512
	requestBytes = 1 << 20 // a single span may be larger
)

// Requests returns the finished spans as OTLP export requests in protobuf (ExportTraceServiceRequest, which is TracesData),
// of 512 spans and about 1 MiB at most. Spans that an exporter took are not in them.
func (j *Journal) Requests() iter.Seq[[]byte] { return requests(j.finished) }

// UnfinishedRequests returns the spans that have started only, like [Journal.Requests] does. They have no end time, and what
// they had when they started.
func (j *Journal) UnfinishedRequests() iter.Seq[[]byte] { return requests(j.unfinished) }

func requests(spans []span) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for batch := range batches(spans) {
			if !yield(request(batch)) {
				return
			}
		}
	}
}

// batches are the spans of one request each.
func batches(spans []span) iter.Seq[[]span] {
	return func(yield func([]span) bool) {
		for len(spans) > 0 {
			n, size := 0, 0
			for n < len(spans) && n < requestSpans && (n == 0 || size+len(spans[n].payload) <= requestBytes) {
				size += len(spans[n].payload)
				n++
			}
			if !yield(spans[:n]) {
				return
			}
			spans = spans[n:]
		}
	}
}

// request makes one request: a ResourceSpans for each origin, in the order of their first spans.
func request(spans []span) []byte {
	var order []*origin
	bodies := map[*origin][]byte{}
	for _, s := range spans {
		if _, ok := bodies[s.from]; !ok {
			order = append(order, s.from)
		}
		bodies[s.from] = appendBytes(bodies[s.from], 2, s.payload)
	}
	var b []byte
	for _, o := range order {
		scope := appendBytes(nil, 2, append(o.scope[:len(o.scope):len(o.scope)], bodies[o]...))
		b = protowire.AppendTag(b, 1, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(len(o.resource)+len(scope)))
		b = append(append(b, o.resource...), scope...)
	}
	return b
}
