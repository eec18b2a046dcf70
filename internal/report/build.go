package report

import (
	"cmp"
	"slices"
	"strings"
)

// builder gathers the requests of several sources into groups.
type builder struct {
	opts   Options
	report *Requests
	places map[groupKey]int32
	groups []*gathered
	all    gathered
	slow   []member // the slowest first, at most opts.Slowest
}

// joined is the requests of one source.
type joined struct {
	*forest
	name     string
	requests []request
}

// member is one request of a group.
type member struct {
	source  *joined
	request int32
}

func (m member) outer() *record { return &m.source.records[m.source.requests[m.request].outer] }

// groupKey is the words that a group has in common; those that do not matter are empty.
type groupKey struct{ run, model, route, operation string }

// gathered is a group while it grows.
type gathered struct {
	Group
	failures map[string]int
	members  []span // whose times count
}

// span is a run of members of one source: where requests come mixed, of length one.
type span struct {
	source *joined
	list   []int32
}

func (b *builder) add(s *Source) {
	f := s.set.join()
	j := &joined{forest: f, name: s.Name, requests: f.requests()}
	var ready int64
	if !s.Ready.IsZero() {
		ready = s.Ready.UnixNano()
	}
	b.opts.Warmup.mark(f, j.requests, ready)
	wanted := b.wanted(j)
	since := int64(0)
	if !b.opts.Since.IsZero() {
		since = b.opts.Since.UnixNano()
	}
	groups := map[kind]*gathered{}
	for i := range j.requests {
		r := &f.records[j.requests[i].outer]
		if r.start < since || !wanted(r) {
			continue
		}
		g := groups[r.kind()]
		if g == nil {
			g = b.group(j, r)
			groups[r.kind()] = g
		}
		timed := b.count(g, j, int32(i))
		if timed {
			b.keepSlow(member{j, int32(i)})
		}
	}
}

// wanted returns the filter of a source's records.
func (b *builder) wanted(j *joined) func(r *record) bool {
	has := func(part string) []bool {
		found := make([]bool, len(j.names.words))
		for i, word := range j.names.words {
			found[i] = part == "" || strings.Contains(strings.ToLower(word), strings.ToLower(part))
		}
		return found
	}
	models, routes := has(b.opts.Model), has(b.opts.Route)
	return func(r *record) bool {
		if b.opts.Failed && (r.name[failure] == 0 || r.flags&unfinished != 0) {
			return false
		}
		return models[r.name[model]] && (routes[r.name[route]] || routes[r.name[operation]])
	}
}

// group returns the group that r belongs to.
func (b *builder) group(j *joined, r *record) *gathered {
	word := func(w int) string { return j.names.word(r.name[w]) }
	var key groupKey
	for _, by := range b.opts.By {
		switch by {
		case ByRun:
			key.run = j.name
		case ByModel:
			key.model = word(model)
		case ByOperation:
			key.operation = word(operation)
		case ByRoute:
			if key.route = word(route); key.route == "" {
				key.operation = word(operation)
			}
		}
	}
	at, ok := b.places[key]
	if !ok {
		at = int32(len(b.groups))
		b.places[key] = at
		b.groups = append(b.groups, &gathered{
			Group: Group{Run: key.run, Model: key.model, Route: key.route, Operation: key.operation},
		})
	}
	return b.groups[at]
}

func (n *names) word(at uint32) string {
	if at == 0 {
		return ""
	}
	return n.words[at]
}

// count adds a request to its group and to all, and reports whether its times count.
func (b *builder) count(g *gathered, j *joined, i int32) bool {
	q := &j.requests[i]
	r := &j.records[q.outer]
	timed := r.finishedWell() || b.opts.Failed
	for _, to := range [...]*gathered{g, &b.all} {
		to.Requests++
		if q.warmup {
			to.Warmup++
		}
		switch {
		case r.flags&unfinished != 0:
			to.Unfinished++
		case r.name[failure] != 0:
			to.Failed++
			if to.failures == nil {
				to.failures = map[string]int{}
			}
			to.failures[j.names.words[r.name[failure]]]++
		}
		input, output := j.tokens(q)
		to.Input += input
		to.Output += output
		if to.Start == 0 || r.start < to.Start {
			to.Start = r.start
		}
		if r.times[endToEnd] != unset {
			to.End = max(to.End, r.start+r.times[endToEnd])
		}
	}
	if timed {
		if n := len(g.members); n == 0 || g.members[n-1].source != j {
			g.members = append(g.members, span{source: j})
		}
		last := &g.members[len(g.members)-1]
		last.list = append(last.list, i)
	}
	return timed
}

// tokens returns what a request has used: as the client was told, else as its servers' spans say. Of several choices the
// prompt counts once.
func (f *forest) tokens(q *request) (input, output int64) {
	r := &f.records[q.outer]
	input, output = max(0, int64(r.input)), max(0, int64(r.output))
	if r.input == unset {
		for at := q.first; at != none; at = f.next[at] {
			input = max(input, int64(f.records[at].input))
		}
	}
	if r.output == unset {
		for at := q.first; at != none; at = f.next[at] {
			output += max(0, int64(f.records[at].output))
		}
	}
	return input, output
}

// keepSlow keeps m when it is among the slowest so far.
func (b *builder) keepSlow(m member) {
	slower := func(m, than member) int {
		return cmp.Or(cmp.Compare(than.outer().times[endToEnd], m.outer().times[endToEnd]),
			cmp.Compare(m.outer().start, than.outer().start))
	}
	if n := len(b.slow); b.opts.Slowest <= 0 || m.outer().times[endToEnd] == unset ||
		n == b.opts.Slowest && slower(m, b.slow[n-1]) >= 0 {
		return
	}
	at, _ := slices.BinarySearchFunc(b.slow, m, func(e, m member) int { return slower(e, m) })
	b.slow = slices.Insert(b.slow, at, m)
	b.slow = b.slow[:min(len(b.slow), b.opts.Slowest)]
}

func (b *builder) finish() {
	b.measure()
	for _, g := range b.groups {
		b.report.Groups = append(b.report.Groups, g.finish())
	}
	slices.SortStableFunc(b.report.Groups, func(x, y Group) int {
		return cmp.Or(cmp.Compare(y.Requests, x.Requests), cmp.Compare(x.Model, y.Model), cmp.Compare(x.Route, y.Route),
			cmp.Compare(x.Operation, y.Operation), cmp.Compare(x.Run, y.Run))
	})
	b.report.Group = b.all.finish()
	for _, m := range b.slow {
		r, q := m.outer(), &m.source.requests[m.request]
		word := func(w int) string { return m.source.names.word(r.name[w]) }
		_, output := m.source.tokens(q)
		s := Slow{
			Run: m.source.name, Model: word(model), Route: word(route), Operation: word(operation), Failure: word(failure),
			TraceID: r.trace, SpanID: r.span, Start: r.start, EndToEnd: r.times[endToEnd], FirstToken: r.times[firstToken],
			Output: output, Warmup: q.warmup,
		}
		b.report.Slow = append(b.report.Slow, s)
	}
}

func (g *gathered) finish() Group {
	for k, n := range g.failures {
		g.Failures = append(g.Failures, Failure{k, n})
	}
	slices.SortFunc(g.Failures, func(x, y Failure) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.Kind, y.Kind))
	})
	return g.Group
}
