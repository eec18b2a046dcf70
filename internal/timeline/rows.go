package timeline

import (
	"cmp"
	"slices"

	"forkspan.dev/forkspan/internal/otlp"
)

// builder turns a forest into rows.
type builder struct {
	f      *forest
	g      *groups
	t      *Timeline
	opts   Options
	match  []bool // by node: passes the filters; nil when there are none
	keep   []bool // by node: passes, or something below it does
	items  []item
	errors map[int32]spanError
}

// item is a row to be.
type item struct {
	node   int32 // none for the row of requests
	parent int32 // index into items
	depth  int32
	folded bool
	link   bool  // of a chain of imports: what is below it belongs to its parent
	weight int64 // what a reader would miss
	hidden int32
}

func (b *builder) build() {
	b.filter()
	b.list()
	b.fold()
	b.draw()
	b.t.finishGuides()
}

// list fills items, each parent before its children.
func (b *builder) list() {
	f := b.f
	b.items = make([]item, 0, min(len(f.order), 1<<20))
	place := make([]int32, len(f.nodes)) // of a node in items
	add := func(at, parent, depth int32) {
		place[at] = int32(len(b.items))
		b.items = append(b.items, item{node: at, parent: parent, depth: depth, hidden: b.g.left[at]})
		b.t.Hidden += int(b.g.left[at])
	}
	startup := slices.IndexFunc(f.order, func(at int32) bool { return f.nodes[at].has(served) })
	if startup < 0 {
		startup = len(f.order)
	}
	for _, at := range f.order[:startup] {
		n := &f.nodes[at]
		switch {
		case n.has(follower) || b.keep != nil && !b.keep[at]:
		case n.parent == none:
			add(at, none, 0)
		default:
			add(at, place[n.parent], n.depth)
		}
	}
	summary := none
	if b.keep != nil {
		f.requests = slices.DeleteFunc(f.requests, func(at int32) bool { return !b.keep[at] })
	}
	if len(f.requests) == 0 {
		return
	}
	one := len(f.requests) == 1
	open := b.opts.All || b.opts.ListRequests || len(f.roots) == 0 || one
	depth := int32(0)
	if !one {
		summary, depth = int32(len(b.items)), 1
		b.items = append(b.items, item{node: none, parent: none})
	}
	if !open {
		return
	}
	for _, at := range f.order[startup:] {
		n := &f.nodes[at]
		switch {
		case n.has(follower) || b.keep != nil && !b.keep[at]:
		case n.parent == none:
			add(at, summary, depth)
		default:
			add(at, place[n.parent], n.depth+depth)
		}
	}
}

// fold leaves out what is too deep and, over MaxRows, what a reader misses least: a row weighs as much as the longest span below it,
// one with an error below it more than any without. Of imports within imports, the time that they take themselves counts.
func (b *builder) fold() {
	const failed = int64(1) << 62
	items := b.items
	if b.opts.MaxDepth > 0 {
		for i := range items {
			items[i].folded = int(items[i].depth) >= b.opts.MaxDepth
		}
	}
	if limit := b.opts.MaxRows; limit > 0 && len(items) > limit {
		b.shortenImports()
		for i := len(items) - 1; i >= 0; i-- {
			it := &items[i]
			if it.node == none {
				it.weight = failed + failed/2
				continue
			}
			n := &b.f.nodes[it.node]
			own := min(max(0, n.duration()), failed-1)
			if b.inImport(it) {
				own = min(own, b.f.self(it.node))
			}
			if n.span.Status == otlp.StatusError {
				own += failed
			}
			it.weight = max(it.weight, own)
			if it.parent != none {
				items[it.parent].weight = max(items[it.parent].weight, it.weight)
			}
		}
		byWeight := make([]int32, len(items))
		for i := range byWeight {
			byWeight[i] = int32(i)
		}
		slices.SortFunc(byWeight, func(x, y int32) int {
			return cmp.Or(cmp.Compare(items[y].weight, items[x].weight), cmp.Compare(x, y))
		})
		shown := 0
		for _, i := range byWeight {
			if !items[i].folded && shown < limit {
				shown++
			} else {
				items[i].folded = true
			}
		}
	}
	for i := len(items) - 1; i >= 0; i-- {
		if !items[i].folded {
			continue
		}
		b.t.Hidden++
		if p := items[i].parent; p != none {
			items[p].hidden += items[i].hidden + 1
		}
	}
}

// draw makes the rows of what is left.
func (b *builder) draw() {
	traces := map[otlp.TraceID]int{}
	shown := 0
	for i := range b.items {
		if !b.items[i].folded {
			shown++
		}
	}
	b.t.Rows = make([]Row, 0, shown)
	for _, it := range b.items {
		if it.folded {
			continue
		}
		if it.node == none {
			b.t.Rows = append(b.t.Rows, b.requestsRow(int(it.hidden)))
			continue
		}
		r := b.row(it)
		if !b.f.nodes[it.node].has(served) {
			id := r.Span.TraceID
			at, ok := traces[id]
			if !ok {
				at = len(b.t.Traces)
				traces[id] = at
				b.t.Traces = append(b.t.Traces, Trace{ID: id})
			}
			r.Trace = at
			b.t.Traces[at].Rows++
		}
		b.t.Rows = append(b.t.Rows, r)
	}
	if len(b.t.Traces) == 0 {
		return
	}
	for i := range b.f.nodes {
		n := &b.f.nodes[i]
		if n.has(served) {
			continue
		}
		if at, ok := traces[n.span.TraceID]; ok {
			b.t.Traces[at].Spans++
		}
	}
}

// row draws one span or group.
func (b *builder) row(it item) Row {
	at := it.node
	n := &b.f.nodes[at]
	s := n.span
	r := Row{
		Trace: -1, Depth: int(it.depth), Process: int(n.proc), Prefix: b.prefix(at), Name: s.Name, Count: 1,
		Start: s.Start, End: n.end, CommonStart: s.Start, CommonEnd: n.end,
		Duration: n.duration(), Shortest: n.duration(), Median: n.duration(), Self: b.f.self(at),
		SpanKind: s.Kind, Status: s.Status,
		Unfinished: n.has(unfinished), MissingParent: n.has(missingParent), Cycle: n.has(cyclic), Critical: n.has(critical),
		Context: b.match != nil && !b.match[at], Hidden: int(it.hidden), Span: s,
	}
	if b.g.grouped(at) {
		b.spread(&r, b.g.members(at))
	}
	b.explain(&r, at)
	if n.has(request) {
		r.FirstToken = b.f.firstToken(at)
	}
	if s.Status == otlp.StatusError && b.originates(at) {
		e := b.errorOf(at)
		r.ErrorType, r.ErrorMessage = e.kind, e.message
	}
	return r
}

// spread makes r the row of a group.
func (b *builder) spread(r *Row, members []int32) {
	r.Kind = GroupRow
	r.Count = len(members)
	for _, at := range members {
		n := &b.f.nodes[at]
		if b.f.processes[n.proc].rank < b.f.processes[r.Process].rank {
			r.Process = int(n.proc)
		}
		r.Members = append(r.Members, n.span)
		r.Start, r.End = min(r.Start, n.span.Start), max(r.End, n.end)
		r.CommonStart, r.CommonEnd = max(r.CommonStart, n.span.Start), min(r.CommonEnd, n.end)
		r.Duration, r.Shortest = max(r.Duration, n.duration()), min(r.Shortest, n.duration())
		r.Self = max(r.Self, b.f.self(at))
		r.Critical = r.Critical || n.has(critical)
		r.Context = r.Context && !b.match[at]
	}
}

// prefix names the process of a row where it is not that of the row above it. The command's own span needs none.
func (b *builder) prefix(at int32) string {
	n := &b.f.nodes[at]
	if n.parent == none && (n.has(ambient) || len(b.f.processes) == 1) {
		return ""
	}
	if n.parent != none && b.f.nodes[n.parent].proc == n.proc {
		return ""
	}
	if !b.g.grouped(at) {
		return b.f.processes[n.proc].Label
	}
	members := b.g.members(at)
	ranks := make([]*Process, len(members))
	for i, m := range members {
		ranks[i] = &b.f.processes[b.f.nodes[m].proc]
	}
	return rankRange(ranks)
}

// requestsRow sums all requests up.
func (b *builder) requestsRow(hidden int) Row {
	f := b.f
	durations := make([]int64, 0, len(f.requests))
	first := &f.nodes[f.requests[0]]
	r := Row{
		Kind: RequestsRow, Trace: -1, Process: -1, Name: "requests", Count: len(f.requests), Hidden: hidden,
		Start: first.span.Start, End: first.end, SpanKind: otlp.KindServer,
	}
	for _, at := range f.requests {
		n := &f.nodes[at]
		durations = append(durations, n.duration())
		r.Start, r.End = min(r.Start, n.span.Start), max(r.End, n.end)
		if n.span.Status == otlp.StatusError {
			r.Errors++
			r.Status = otlp.StatusError
		}
		r.Unfinished = r.Unfinished || n.has(unfinished)
	}
	slices.Sort(durations)
	r.CommonStart, r.CommonEnd = r.Start, r.End
	r.Shortest, r.Duration = durations[0], durations[len(durations)-1]
	r.Median = durations[len(durations)/2]
	return r
}

// finishGuides sets Last from below: a row is the last of its depth until a shallower one comes.
func (t *Timeline) finishGuides() {
	var open []bool
	for i := len(t.Rows) - 1; i >= 0; i-- {
		r := &t.Rows[i]
		for len(open) <= r.Depth {
			open = append(open, false)
		}
		r.Last = !open[r.Depth]
		open[r.Depth] = true
		clear(open[r.Depth+1:])
		open = open[:r.Depth+1]
	}
}
