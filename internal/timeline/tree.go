package timeline

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"forkspan.dev/forkspan/internal/otlp"
)

// none is the index of no node.
const none = int32(-1)

// mark is something a reader must be told about a node.
type mark uint16

const (
	missingParent mark = 1 << iota // the span has a parent that is not here
	cyclic                         // its parents form a cycle, which was cut above it
	unfinished                     // it has no end
	request                        // root of a request
	critical                       // on the critical path
	follower                       // drawn by the group it belongs to
	ambient                        // one of Options.AmbientParents
	served                         // part of a request
)

// node is a span in the forest. Nodes lie in order of start, so that a smaller index starts earlier.
type node struct {
	span   *otlp.Span
	end    int64 // for an unfinished span its last sign of life
	parent int32
	first  int32 // first child
	last   int32 // last child
	next   int32 // next sibling, in order of start
	proc   int32
	depth  int32
	marks  mark
}

func (n *node) has(m mark) bool { return n.marks&m != 0 }

// duration is negative for a span that ended before it started.
func (n *node) duration() int64 { return saturatingSub(n.end, n.span.Start) }

// forest is all spans as trees.
type forest struct {
	nodes     []node
	roots     []int32 // start-up: everything that is no request
	requests  []int32 // roots of requests
	processes []Process
	order     []int32 // the roots' trees, then the requests', each parent before its children
	ambient   map[otlp.SpanID]bool
	now       int64         // Options.Now
	running   []otlp.SpanID // what lasts until now if it is unfinished: Options.AmbientParents
}

type spanKey struct {
	trace otlp.TraceID
	span  otlp.SpanID
}

type processSpanKey struct {
	spanKey
	proc int32
}

// index finds nodes by trace and span id, and by process where several share both.
type index struct {
	earliest map[spanKey]int32
	others   map[processSpanKey]int32 // those that are not the earliest
}

func (ix *index) find(key spanKey, proc int32, nodes []node) int32 {
	at, ok := ix.earliest[key]
	if !ok {
		return none
	}
	if nodes[at].proc == proc || len(ix.others) == 0 {
		return at
	}
	if own, ok := ix.others[processSpanKey{key, proc}]; ok {
		return own
	}
	return at
}

// grow builds the forest.
func grow(spans []otlp.Span, opts Options) *forest {
	f := &forest{}
	f.plant(spans)
	f.know(opts.System)
	f.adopt()
	label(f.processes)
	ix := f.dedupe()
	f.link(ix, opts)
	f.cutCycles()
	f.findRequests()
	f.attach()
	f.walk()
	f.signsOfLife()
	return f
}

// plant makes the nodes in order of start. Ties are broken by the spans' content, so that the drawing does not depend on the
// order of arrival.
func (f *forest) plant(spans []otlp.Span) {
	in := newInterner()
	f.nodes = make([]node, len(spans))
	for i := range spans {
		f.nodes[i] = node{
			span: &spans[i], end: spans[i].End, proc: in.number(spans[i].Process),
			parent: none, first: none, last: none, next: none,
		}
	}
	slices.SortFunc(f.nodes, func(a, b node) int {
		if a.span.Start != b.span.Start {
			return cmp.Compare(a.span.Start, b.span.Start)
		}
		return cmp.Or(
			cmp.Compare(uint64(b.span.End-1), uint64(a.span.End-1)), // longest first, unfinished before all
			strings.Compare(a.span.Name, b.span.Name),
			in.identities[a.proc].compare(in.identities[b.proc]),
			slices.Compare(a.span.TraceID[:], b.span.TraceID[:]),
			slices.Compare(a.span.SpanID[:], b.span.SpanID[:]),
			slices.Compare(a.span.ParentID[:], b.span.ParentID[:]),
			cmp.Compare(a.span.Kind, b.span.Kind),
			cmp.Compare(a.span.Status, b.span.Status),
			strings.Compare(a.span.Message, b.span.Message),
		)
	})
	f.number(in.processes)
}

// number keeps those of processes that have spans, in the order of their first spans.
func (f *forest) number(processes []Process) {
	renumber := make([]int32, len(processes))
	for i := range renumber {
		renumber[i] = none
	}
	for i := range f.nodes {
		n := &f.nodes[i]
		if renumber[n.proc] == none {
			renumber[n.proc] = int32(len(f.processes))
			f.processes = append(f.processes, processes[n.proc])
		}
		n.proc = renumber[n.proc]
	}
}

// dedupe drops all but one record of each span: a finished one supersedes an unfinished one, then the later end wins.
func (f *forest) dedupe() *index {
	ix := &index{earliest: make(map[spanKey]int32, len(f.nodes)), others: map[processSpanKey]int32{}}
	kept := f.nodes[:0]
	for _, n := range f.nodes {
		key := spanKey{n.span.TraceID, n.span.SpanID}
		at := int32(len(kept))
		if key.span == (otlp.SpanID{}) { // invalid, so it identifies nothing
			kept = append(kept, n)
			continue
		}
		before, ok := ix.earliest[key]
		switch {
		case !ok:
			ix.earliest[key] = at
		case kept[before].proc == n.proc:
			kept[before].supersede(n.span)
			continue
		default:
			own := processSpanKey{key, n.proc}
			if before, ok := ix.others[own]; ok {
				kept[before].supersede(n.span)
				continue
			}
			ix.others[own] = at
		}
		kept = append(kept, n)
	}
	clear(f.nodes[len(kept):])
	f.nodes = kept
	return ix
}

func (n *node) supersede(s *otlp.Span) {
	// Of two unfinished records the one that knows of more events is the later.
	if n.span.End == 0 && (s.End != 0 || len(s.Events()) > len(n.span.Events())) || n.span.End != 0 && s.End > n.span.End {
		n.span, n.end = s, s.End
	}
}

// runScope is the instrumentation scope of the spans that `forkspan run` makes of its command: the environment of the command's
// processes carries one of them. startupSpan is the name of the one that ends when the command is ready.
const (
	runScope    = "forkspan.dev/forkspan/run"
	startupSpan = "startup"
)

func ofRun(s *otlp.Span) bool { return s.Scope != nil && s.Scope.Name == runScope }

// link finds each node's parent.
func (f *forest) link(ix *index, opts Options) {
	f.now, f.running = opts.Now, opts.AmbientParents
	f.ambient = make(map[otlp.SpanID]bool, len(opts.AmbientParents))
	for _, id := range opts.AmbientParents {
		f.ambient[id] = true
	}
	for i := range f.nodes {
		if ofRun(f.nodes[i].span) {
			f.ambient[f.nodes[i].span.SpanID] = true
		}
	}
	for i := range f.nodes {
		n := &f.nodes[i]
		s := n.span
		if s.End == 0 {
			n.marks |= unfinished
		}
		if f.ambient[s.SpanID] {
			n.marks |= ambient
		}
		if s.ParentID == (otlp.SpanID{}) {
			continue
		}
		n.parent = ix.find(spanKey{s.TraceID, s.ParentID}, n.proc, f.nodes)
		switch {
		case n.parent == int32(i):
			n.parent = none
			n.marks |= cyclic
		case n.parent == none && !f.ambient[s.ParentID]:
			n.marks |= missingParent
		}
	}
}

// cutCycles makes the earliest node of each cycle of parents a root.
func (f *forest) cutCycles() {
	walk := make([]int32, len(f.nodes)) // the walk that came by, 0 for none
	for start := range f.nodes {
		id := int32(start) + 1
		at := int32(start)
		for at != none && walk[at] == 0 {
			walk[at] = id
			at = f.nodes[at].parent
		}
		if at == none || walk[at] != id {
			continue
		}
		earliest := at
		for n := f.nodes[at].parent; n != at; n = f.nodes[n].parent {
			earliest = min(earliest, n)
		}
		f.nodes[earliest].parent = none
		f.nodes[earliest].marks |= cyclic
	}
}

// attach fills the lists of roots and children, in order of start because the nodes are.
func (f *forest) attach() {
	for i := range f.nodes {
		n := &f.nodes[i]
		at := int32(i)
		switch {
		case n.has(request):
			f.requests = append(f.requests, at)
		case n.parent == none:
			f.roots = append(f.roots, at)
		default:
			p := &f.nodes[n.parent]
			if p.first == none {
				p.first = at
			} else {
				f.nodes[p.last].next = at
			}
			p.last = at
		}
	}
	f.sortRoots()
}

// sortRoots puts the roots of a trace together: first the trace of an ambient parent, then by start.
func (f *forest) sortRoots() {
	place := map[otlp.TraceID]int{}
	for i, at := range f.roots {
		n := &f.nodes[at]
		if _, ok := place[n.span.TraceID]; !ok {
			place[n.span.TraceID] = i
		}
		if n.has(ambient) {
			place[n.span.TraceID] = min(place[n.span.TraceID], i-len(f.roots))
		}
	}
	slices.SortStableFunc(f.roots, func(a, b int32) int {
		return cmp.Compare(place[f.nodes[a].span.TraceID], place[f.nodes[b].span.TraceID])
	})
}

// walk fills order and depth, without recursion: chains may be as deep as there are spans.
func (f *forest) walk() {
	f.order = make([]int32, 0, len(f.nodes))
	for _, root := range f.roots {
		f.walkTree(root)
	}
	startup := len(f.order)
	for _, root := range f.requests {
		f.walkTree(root)
	}
	for _, at := range f.order[startup:] {
		f.nodes[at].marks |= served
	}
}

func (f *forest) walkTree(root int32) {
	for at := range f.tree(root) {
		f.order = append(f.order, at)
		if at != root {
			f.nodes[at].depth = f.nodes[f.nodes[at].parent].depth + 1
		}
	}
}

// tree yields root and what is below it, each parent before its children.
func (f *forest) tree(root int32) func(yield func(int32) bool) {
	return func(yield func(int32) bool) {
		for at := root; yield(at); {
			if child := f.nodes[at].first; child != none {
				at = child
				continue
			}
			for at != root && f.nodes[at].next == none {
				at = f.nodes[at].parent
			}
			if at == root {
				return
			}
			at = f.nodes[at].next
		}
	}
}

// signsOfLife fills the processes' extents and gives unfinished spans an end: the last that was heard of their process or of a
// span below them, but not after their process has ended.
func (f *forest) signsOfLife() {
	open := false
	for i := range f.nodes {
		n := &f.nodes[i]
		open = open || n.has(unfinished)
		p := &f.processes[n.proc]
		if p.Spans == 0 {
			p.Start, p.End = n.span.Start, n.span.Start
		}
		p.Spans++
		p.End = max(p.End, n.span.Start, n.end)
		if n.has(unfinished) { // a finished span's end is the later one
			for _, e := range n.span.Events() {
				p.End = max(p.End, e.Time)
			}
		}
	}
	if !open {
		return
	}
	for _, at := range slices.Backward(f.order) {
		n := &f.nodes[at]
		if n.has(unfinished) {
			n.end = max(n.end, f.processes[n.proc].End)
			if f.now != 0 && (slices.Contains(f.running, n.span.SpanID) || f.processes[n.proc].lives()) {
				n.end = max(n.end, f.now)
			}
			if ended := f.processes[n.proc].ended(); ended != 0 {
				n.end = max(n.span.Start, min(n.end, ended))
			}
		}
		if n.parent != none && f.nodes[n.parent].has(unfinished) {
			f.nodes[n.parent].end = max(f.nodes[n.parent].end, n.end)
		}
	}
}

// children yields the indices of at's children in order of start.
func (f *forest) children(at int32) func(yield func(int32) bool) {
	return func(yield func(int32) bool) {
		for c := f.nodes[at].first; c != none; c = f.nodes[c].next {
			if !yield(c) {
				return
			}
		}
	}
}

// self is how long a node ran while none of its children did.
func (f *forest) self(at int32) int64 {
	n := &f.nodes[at]
	covered, reach := int64(0), n.span.Start
	for c := range f.children(at) {
		from := max(f.nodes[c].span.Start, reach)
		to := min(f.nodes[c].end, n.end)
		if to > from {
			covered += to - from
			reach = to
		}
	}
	return max(0, n.duration()-covered)
}

// saturatingSub is a-b without overflow: timestamps of a peer may be anything.
func saturatingSub(a, b int64) int64 {
	d := a - b
	switch {
	case a >= 0 && b < 0 && d < 0:
		return math.MaxInt64
	case a < 0 && b > 0 && d > 0:
		return math.MinInt64
	}
	return d
}
