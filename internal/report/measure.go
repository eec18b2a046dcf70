package report

import (
	"runtime"
	"sync"
)

// The sides of a request.
const (
	Client     = "client"
	Server     = "server"
	Difference = "difference" // of the client's time and the server's
)

// measure is one row of a view.
type measure struct {
	side    string
	name    string
	latency int
}

// measures are in the order in which they are reported.
var measures = [...]measure{
	{Client, "first token", firstToken},
	{Client, "inter-token", interToken},
	{Client, "end to end", endToEnd},
	{Server, "first token", firstToken},
	{Server, "inter-token", interToken},
	{Server, "end to end", endToEnd},
	{Server, "queue", queue},
	{Server, "prefill", prefill},
	{Server, "decode", decode},
	{Difference, "first token", firstToken},
	{Difference, "end to end", endToEnd},
}

// measure works out the views of all groups, on all processors.
func (b *builder) measure() {
	tasks := make(chan *task)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			var values []int64 // kept for the next task
			for t := range tasks {
				values = t.run(values)
			}
		})
	}
	results := make([][len(measures)]task, len(b.groups))
	for i, g := range b.groups {
		for at := range measures {
			results[i][at] = task{of: &measures[at], members: g.members}
			tasks <- &results[i][at]
		}
	}
	close(tasks)
	workers.Wait()
	for i, g := range b.groups {
		g.Views = views(&results[i])
	}
}

// task is one measure of one group.
type task struct {
	of        *measure
	members   []span
	all, warm Distribution
}

func (t *task) run(values []int64) []int64 {
	values = values[:0]
	for _, early := range [...]bool{false, true} {
		n := len(values)
		for _, m := range t.members {
			for _, i := range m.list {
				if q := &m.source.requests[i]; q.warmup == early {
					values = t.of.append(values, m.source.forest, q)
				}
			}
		}
		switch {
		case !early:
			t.warm = distribution(values)
			t.all = t.warm
		case len(values) > n:
			t.all = distribution(values)
		}
	}
	return values
}

// append adds the figures that a request has for the measure.
func (m *measure) append(to []int64, f *forest, q *request) []int64 {
	outer := &f.records[q.outer]
	client := outer.times[m.latency]
	if outer.flags&vllm != 0 {
		client = unset
	}
	add := func(v int64) {
		if v != unset {
			to = append(to, v)
		}
	}
	switch m.side {
	case Client:
		add(client)
	case Server:
		if q.first == none && m.latency >= queue {
			add(client) // some servers report these in their answer
		}
		for at := q.first; at != none; at = f.next[at] {
			add(f.records[at].times[m.latency])
		}
	case Difference:
		if server := f.server(q, m.latency); client != unset && server != unset && q.first != q.outer {
			// The two are taken by different clocks, one of which may be coarse.
			const rounding = -1_000_000
			if d := client - server; d >= rounding {
				add(max(d, 0))
			}
		}
	}
	return to
}

// server is when the server of a request had the first token, or ended: the earliest of several first tokens, the latest end.
func (f *forest) server(q *request, latency int) int64 {
	v := int64(unset)
	for at := q.first; at != none; at = f.next[at] {
		t := f.records[at].times[latency]
		switch {
		case t == unset:
		case v == unset:
			v = t
		case latency == firstToken:
			v = min(v, t)
		default:
			v = max(v, t)
		}
	}
	return v
}

// views arranges the measures that have figures by side. The speed is that between tokens, turned round.
func views(of *[len(measures)]task) (list []View) {
	for i := range of {
		t := &of[i]
		if t.all.Count == 0 {
			continue
		}
		if n := len(list); n == 0 || list[n-1].Side != t.of.side {
			list = append(list, View{Side: t.of.side})
		}
		v := &list[len(list)-1]
		v.Measures = append(v.Measures, Measure{Name: t.of.name, All: t.all, Warm: t.warm})
	}
	for i := range list {
		v := &list[i]
		for _, m := range v.Measures {
			if m.Name == measures[interToken].name {
				v.Measures = append(v.Measures, Measure{Name: TokensPerSecond, All: m.All.speed(), Warm: m.Warm.speed()})
				break
			}
		}
	}
	return list
}

// speed is in thousandths of tokens a second, from nanoseconds a token.
func (d Distribution) speed() Distribution {
	for _, v := range [...]*int64{&d.P50, &d.P90, &d.P99, &d.Slowest} {
		if *v > 0 {
			*v = (1e12 + *v/2) / *v
		}
	}
	return d
}
