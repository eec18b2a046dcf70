package timeline

import (
	"cmp"
	"slices"
)

// markCritical marks the spans that decided when start-up was over, looking back from the end:
//
//	parent  ────────────────────────────
//	a        ───────                        on the path: the last to end before c started
//	b       ────                            not: a ended later
//	c                 ─────────────         on the path: the last to end
//	d                   ──────              not: c was still running
//
// The roots of a trace are taken as children of one span that covers them all. Nothing after until is looked at.
func (f *forest) markCritical(until int64) {
	byTrace := map[[16]byte][]int32{}
	for _, root := range f.roots {
		id := f.nodes[root].span.TraceID
		byTrace[id] = append(byTrace[id], root)
	}
	type step struct {
		candidates []int32
		start, end int64
	}
	var todo []step
	for _, roots := range byTrace {
		end := until
		todo = append(todo, step{roots, f.nodes[roots[0]].span.Start, end})
	}
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		end := func(at int32) int64 { return min(f.nodes[at].end, s.end) }
		slices.SortFunc(s.candidates, func(a, b int32) int {
			return cmp.Or(cmp.Compare(end(b), end(a)), cmp.Compare(a, b))
		})
		t := s.end
		for _, at := range s.candidates {
			n := &f.nodes[at]
			if n.span.Start > t || end(at) > t || n.span.Start >= s.end {
				continue
			}
			n.marks |= critical
			todo = append(todo, step{slices.Collect(f.children(at)), n.span.Start, end(at)})
			t = n.span.Start
			if t <= s.start {
				break
			}
		}
	}
}
