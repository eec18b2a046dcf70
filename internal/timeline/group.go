package timeline

import (
	"hash/maphash"
	"slices"

	"forkspan.dev/forkspan/internal/otlp"
)

// groups are equal siblings of several ranks, drawn as one: each has a leader, which is the earliest, and followers chained to it.
//
//	Worker_0: Worker init          Worker_0 … 1: Worker init  ×2
//	└ Worker_0: Load model    →    └ Load model               ×2
//	Worker_1: Worker init
//	└ Worker_1: Load model
type groups struct {
	f       *forest
	shape   []uint64        // of the tree below each node, the same for equal trees of two ranks
	imports []bool          // that a node is an import, with nothing else below it
	next    []int32         // the next member of a node's group; nil when nothing is grouped
	left    map[int32]int32 // how many spans below a node's group are not drawn
}

// bucket is what members of a group have in common. nth tells several equal spans of one process apart.
type bucket struct {
	trace otlp.TraceID
	shape uint64
	base  string
	nth   int
}

// groupRanks marks followers and chains them.
func groupRanks(f *forest) *groups {
	g := &groups{f: f}
	bases := map[string]int{}
	ranked := false
	for i := range f.processes {
		if base := f.processes[i].base; base != "" {
			bases[base]++
			ranked = ranked || bases[base] > 1
		}
	}
	if !ranked {
		return g
	}
	g.measureShapes()
	g.next, g.left = make([]int32, len(f.nodes)), map[int32]int32{}
	for i := range g.next {
		g.next[i] = none
	}
	g.gather([][]int32{f.roots})
	for _, at := range f.order {
		n := &f.nodes[at]
		if n.has(follower) || n.first == none && g.next[at] == none {
			continue
		}
		var families [][]int32
		for member := at; member != none; member = g.next[member] {
			var family []int32
			for c := range f.children(member) {
				family = append(family, c)
			}
			families = append(families, family)
		}
		g.gather(families)
		for _, family := range families[1:] {
			g.left[at] += g.leaveOut(family)
		}
	}
	return g
}

// leaveOut takes imports of a follower out that its leader has not, and tells how many: they differ where one took a little longer
// than those that are told. The group's row has the times of all.
func (g *groups) leaveOut(family []int32) (spans int32) {
	for _, child := range family {
		if g.f.nodes[child].has(follower) || !g.imports[child] {
			continue
		}
		for _, member := range g.members(child) {
			for at := range g.f.tree(member) {
				g.f.nodes[at].marks |= follower
				spans++
			}
		}
	}
	return spans
}

// measureShapes hashes names, outcomes and roles; the order of siblings does not count, since ranks differ in it, and neither do
// imports below, of which only the slow ones are told.
func (g *groups) measureShapes() {
	seed := maphash.MakeSeed()
	g.shape = make([]uint64, len(g.f.nodes))
	g.imports = slices.Repeat([]bool{true}, len(g.f.nodes))
	for i := len(g.f.order) - 1; i >= 0; i-- {
		at := g.f.order[i]
		n := &g.f.nodes[at]
		p := &g.f.processes[n.proc]
		role := p.base
		if role == "" {
			role = p.Label
		}
		own := struct {
			name, message, role string
			status              otlp.StatusCode
			kind                otlp.Kind
			marks               mark
			children            uint64
		}{n.span.Name, n.span.Message, role, n.span.Status, n.span.Kind, n.marks & (unfinished | missingParent | cyclic), g.shape[at]}
		g.shape[at] = maphash.Comparable(seed, own)
		g.imports[at] = g.imports[at] && ofImport(n.span)
		if n.parent != none && !g.imports[at] {
			g.imports[n.parent] = false
			g.shape[n.parent] += g.shape[at]
		}
	}
}

// gather groups the equal members of families, each the children of one parent. The families are those of a group, so that their
// members correspond; the first is the leader's.
func (g *groups) gather(families [][]int32) {
	type occurrence struct {
		bucket
		name string
	}
	tails := map[bucket]int32{}
	for _, family := range families {
		seen := map[occurrence]int{}
		for _, at := range family {
			n := &g.f.nodes[at]
			p := &g.f.processes[n.proc]
			if p.base == "" && len(families) == 1 {
				continue
			}
			b := bucket{trace: n.span.TraceID, shape: g.shape[at], base: p.base}
			o := occurrence{b, p.Name}
			b.nth = seen[o]
			seen[o]++
			if tail, ok := tails[b]; ok {
				g.next[tail] = at
				n.marks |= follower
			}
			tails[b] = at
		}
	}
}

// members returns the nodes that are drawn as the row of at.
func (g *groups) members(at int32) []int32 {
	members := []int32{at}
	if g.next == nil {
		return members
	}
	for m := g.next[at]; m != none; m = g.next[m] {
		members = append(members, m)
	}
	return members
}

func (g *groups) grouped(at int32) bool { return g.next != nil && g.next[at] != none }
