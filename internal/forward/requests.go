package forward

import (
	"bytes"
	"encoding/binary"

	"forkspan.dev/forkspan/internal/otlp"
)

// runScope is the instrumentation scope of the spans that `forkspan run` makes of its command: the environment of the command's
// processes carries one of them.
const runScope = "forkspan.dev/forkspan/run"

// requests gives each request that a server has put below its environment's parent a trace of its own. Spans of such a request
// that come before its outermost one, in an earlier export, stay where they are: nobody knows of them that they belong to it.
type requests struct {
	ratio   *float64
	ambient map[otlp.SpanID]bool
	moved   *memory[place] // by the key of a span
}

// place is where the spans below a span go.
type place struct {
	trace otlp.TraceID
	drop  bool
}

func newRequests(s *Settings) *requests {
	r := &requests{ratio: s.Ratio, ambient: make(map[otlp.SpanID]bool), moved: newMemory[place](1 << 16)}
	for _, id := range s.Ambient {
		r.ambient[id] = true
	}
	return r
}

// maxAmbient bounds the commands of one run that are remembered.
const maxAmbient = 1 << 14

// learn finds the spans of commands, also those that have only begun.
func (r *requests) learn(body []byte) {
	if !bytes.Contains(body, []byte(runScope)) {
		return
	}
	spans, err := otlp.Decode(body)
	if err != nil {
		return
	}
	for i := range spans {
		if s := &spans[i]; s.Scope != nil && s.Scope.Name == runScope && len(r.ambient) < maxAmbient {
			r.ambient[s.SpanID] = true
		}
	}
}

// changes adds to the changes of the spans, which may be nil.
func (r *requests) changes(spans []otlp.Span, changes []*change) []*change {
	heads := false
	for i := range spans {
		heads = heads || r.isHead(&spans[i])
	}
	if !heads && r.moved.empty() {
		return changes
	}
	at := make(map[otlp.SpanID]int, len(spans))
	for i := range spans {
		at[spans[i].SpanID] = i
	}
	const unknown, open, stays, moves = 0, 1, 2, 3
	state := make([]uint8, len(spans))
	places := make([]place, len(spans))
	var path []int
	for i := range spans {
		// Up to what is known, then down again.
		path = path[:0]
		to, found := place{}, false
		for n := i; ; {
			s := &spans[n]
			if state[n] == moves {
				to, found = places[n], true
				break
			}
			if state[n] != unknown {
				break // it stays, or the parents form a circle
			}
			state[n] = open
			path = append(path, n)
			if r.isHead(s) {
				to, found = r.head(s), true
				break
			}
			up, here := at[s.ParentID]
			if !here || spans[up].TraceID != s.TraceID {
				to, found = r.moved.get(spanKey(s.TraceID, s.ParentID))
				break
			}
			n = up
		}
		for _, n := range path {
			if state[n] = stays; found {
				state[n], places[n] = moves, to
			}
		}
	}
	change1 := func(i int) *change {
		if changes == nil {
			changes = make([]*change, len(spans))
		}
		if changes[i] == nil {
			changes[i] = &change{}
		}
		return changes[i]
	}
	for i := range spans {
		if state[i] != moves {
			continue
		}
		s := &spans[i]
		r.moved.put(spanKey(s.TraceID, s.SpanID), places[i])
		c := change1(i)
		c.trace, c.drop, c.root = places[i].trace, places[i].drop, r.isHead(s)
	}
	for i := range spans {
		for _, link := range spans[i].Links() {
			if to, ok := r.moved.get(spanKey(link.TraceID, link.SpanID)); ok && !to.drop {
				change1(i).relink(link, func(at *spanRef) { at.trace = to.trace })
			}
		}
	}
	return changes
}

// isHead tells whether a span is the outermost one of a request that has no caller but the environment.
func (r *requests) isHead(s *otlp.Span) bool {
	return (s.Kind == otlp.KindServer || s.Kind == otlp.KindConsumer) && r.ambient[s.ParentID] && !r.ambient[s.SpanID]
}

// head is where a request goes: a trace of its own, if the user's sampler takes that.
func (r *requests) head(s *otlp.Span) place {
	p := place{trace: identify(s.Process).newTrace(s.TraceID, s.SpanID)}
	if r.ratio != nil {
		// As the TraceIdRatioBased samplers of OpenTelemetry's SDKs for Go and Python decide.
		p.drop = binary.BigEndian.Uint64(p.trace[8:])>>1 >= uint64(*r.ratio*(1<<63))
	}
	return p
}
