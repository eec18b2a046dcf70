package forkspantest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// node is a span as the tree shows it, whichever way it came in.
type node struct {
	trace, id, parent string // lower-case hex; parent is empty for a root
	process           string // tells processes with equal span ids apart
	name              string
	marks             []string
	attribute         func(key string) (string, bool)
	start             int64 // Unix nanoseconds
	arrived           int   // order in which the spans came in
}

// drawTree writes one line a span, children indented below their parents, siblings by start. A span whose parent is not among
// nodes is marked and drawn as a root; no span is ever left out.
func drawTree(nodes []*node, keys []string) string {
	t := tree{keys: keys, children: map[*node][]*node{}, drawn: map[*node]bool{}}
	byID := map[string][]*node{}
	for i, n := range nodes {
		n.arrived = i
		byID[n.trace+n.id] = append(byID[n.trace+n.id], n)
	}
	var roots []*node
	for _, n := range nodes {
		parent := pickParent(byID[n.trace+n.parent], n)
		if parent == nil {
			if n.parent != "" {
				n.marks = append(n.marks, "parent elsewhere")
			}
			roots = append(roots, n)
			continue
		}
		t.children[parent] = append(t.children[parent], n)
	}
	t.draw(roots, 0)
	// What is left hangs together in a cycle.
	for _, n := range sorted(nodes) {
		if !t.drawn[n] {
			n.marks = append(n.marks, "cycle")
			t.draw([]*node{n}, 0)
		}
	}
	return t.out.String()
}

// pickParent prefers the span of n's own process, since several processes may use one span id.
func pickParent(candidates []*node, n *node) *node {
	if n.parent == "" {
		return nil
	}
	var found *node
	for _, c := range candidates {
		if c.process == n.process {
			return c
		}
		if found == nil {
			found = c
		}
	}
	return found
}

type tree struct {
	keys     []string
	children map[*node][]*node
	drawn    map[*node]bool
	out      strings.Builder
}

func (t *tree) draw(nodes []*node, depth int) {
	for _, n := range sorted(nodes) {
		if t.drawn[n] {
			continue
		}
		t.drawn[n] = true
		t.out.WriteString(strings.Repeat("  ", depth))
		t.out.WriteString(n.name)
		for _, mark := range n.marks {
			fmt.Fprintf(&t.out, " [%s]", mark)
		}
		for _, key := range t.keys {
			if value, ok := n.attribute(key); ok {
				fmt.Fprintf(&t.out, " %s=%s", key, value)
			}
		}
		t.out.WriteByte('\n')
		t.draw(t.children[n], depth+1)
	}
}

func sorted(nodes []*node) []*node {
	return slices.SortedFunc(slices.Values(nodes), func(a, b *node) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.name, b.name), cmp.Compare(a.arrived, b.arrived))
	})
}

// describe lists what a reader should see at once about a span: its kind unless internal, that it has not ended, its error.
func describe(kind string, unfinished, failed bool, message string) []string {
	var marks []string
	if kind = strings.ToLower(kind); kind != "internal" && kind != "unspecified" {
		marks = append(marks, kind)
	}
	if unfinished {
		marks = append(marks, "unfinished")
	}
	switch {
	case failed && message != "":
		marks = append(marks, "error: "+message)
	case failed:
		marks = append(marks, "error")
	}
	return marks
}
