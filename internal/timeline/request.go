package timeline

import (
	"forkspan.dev/forkspan/genai"
	"forkspan.dev/forkspan/internal/otlp"
)

// findRequests marks the outermost spans of requests and makes them roots.
//
// A request is a span that serves or makes a call and that nothing in its trace has called: it has no parent, or one that a
// process finds in its environment, where servers leave the context of their start-up. Spans inside a request are part of it,
// whatever they are: a client's span, the server's below it and the engine's below that are one request.
func (f *forest) findRequests() {
	const outside, inside = 1, 2
	answered := f.answered()
	place := make([]uint8, len(f.nodes))
	var path []int32
	for i := range f.nodes {
		path = path[:0]
		for at := int32(i); at != none && place[at] == 0; at = f.nodes[at].parent {
			path = append(path, at)
		}
		for at := len(path) - 1; at >= 0; at-- { // from the top
			i := path[at]
			n := &f.nodes[i]
			place[i] = outside
			switch {
			case n.parent != none && place[n.parent] == inside:
				place[i] = inside
			case !n.has(ambient) && f.uncalled(n) && (serves(n.span) || answered[i] || callsModel(n.span)):
				place[i] = inside
				n.marks = n.marks&^missingParent | request
				n.parent = none
			}
		}
	}
}

// answered tells which clients' spans have a server's below them.
func (f *forest) answered() []bool {
	answered := make([]bool, len(f.nodes))
	for i := range f.nodes {
		n := &f.nodes[i]
		if n.parent != none && serves(n.span) && calls(f.nodes[n.parent].span) {
			answered[n.parent] = true
		}
	}
	return answered
}

// uncalled tells whether n's parent is none, or can't have been waiting for n: it is one of the environment's, or it had ended, or
// it is one of the serving process's own.
func (f *forest) uncalled(n *node) bool {
	if n.parent == none || f.ambient[n.span.ParentID] {
		return true
	}
	p := &f.nodes[n.parent]
	if calls(p.span) {
		return false // clocks differ
	}
	ended := p.span.End != 0 && p.span.End <= n.span.Start
	return ended || serves(n.span) && n.proc == p.proc && !serves(p.span)
}

func serves(s *otlp.Span) bool { return s.Kind == otlp.KindServer || s.Kind == otlp.KindConsumer }

func calls(s *otlp.Span) bool { return s.Kind == otlp.KindClient || s.Kind == otlp.KindProducer }

// callsModel tells whether s is a request to a model, in any dialect.
func callsModel(s *otlp.Span) bool {
	_, ok := genai.ReadCall(s.Each())
	return ok
}

// firstToken is the time to first token of a request in nanoseconds, as its outermost span has it that knows; 0 when none does.
func (f *forest) firstToken(root int32) int64 {
	for at := range f.tree(root) {
		if call, ok := genai.ReadCall(f.nodes[at].span.Each()); ok && call.Latency.FirstToken.Set {
			return call.Latency.FirstToken.Value.Nanoseconds()
		}
	}
	return 0
}
