package timeline

import (
	"slices"
	"strconv"
	"strings"

	"forkspan.dev/forkspan/internal/otlp"
)

// filter fills match and keep. An ancestor of what matches is kept as context; a group matches when one of its members does.
func (b *builder) filter() {
	if !b.opts.filtering() {
		return
	}
	f := b.f
	b.match = make([]bool, len(f.nodes))
	b.keep = make([]bool, len(f.nodes))
	wanted := make([]bool, len(f.processes))
	for i := range f.processes {
		wanted[i] = f.processes[i].called(b.opts.Process)
	}
	for _, at := range slices.Backward(f.order) {
		n := &f.nodes[at]
		b.match[at] = wanted[n.proc] &&
			(n.duration() >= b.opts.MinDuration || n.has(unfinished)) &&
			(!b.opts.ErrorsOnly || n.span.Status == otlp.StatusError) &&
			(!b.opts.CriticalPath || n.has(critical))
		b.keep[at] = b.keep[at] || b.match[at]
		if b.keep[at] && n.parent != none {
			b.keep[n.parent] = true
		}
	}
	if b.g.next == nil {
		return
	}
	for _, at := range f.order {
		if f.nodes[at].has(follower) || !b.g.grouped(at) {
			continue
		}
		for _, m := range b.g.members(at) {
			b.match[at] = b.match[at] || b.match[m]
			b.keep[at] = b.keep[at] || b.keep[m]
		}
	}
}

// called tells whether a user who wrote name could mean p: a part of its label, role, service or program in any case, or its pid.
func (p *Process) called(name string) bool {
	if name == "" || strconv.Itoa(p.PID) == name {
		return true
	}
	name = strings.ToLower(name)
	called := func(s string) bool { return strings.Contains(strings.ToLower(s), name) }
	return slices.ContainsFunc([]string{p.Label, p.Name, p.Kind, p.Service}, called) ||
		slices.ContainsFunc(p.system, func(known *OSProcess) bool {
			return strconv.Itoa(known.PID) == name || called(known.Program)
		})
}
