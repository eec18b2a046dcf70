package timeline

import (
	"strings"

	"forkspan.dev/forkspan/internal/otlp"
)

// Of the spans of the Python module: their instrumentation scope, and what the names of imports begin with.
const (
	pythonScope  = "forkspan.python"
	importPrefix = "import "
)

// ofImport tells whether a span is the loading of a Python module. A large program has thousands, in chains of twenty and more.
func ofImport(s *otlp.Span) bool {
	return s.Scope != nil && s.Scope.Name == pythonScope && strings.HasPrefix(s.Name, importPrefix)
}

// mostly is the share of a module's time, in tenths, from which on an import below it is said to take the time.
const mostly = 9

// inImport tells whether an item is an import within an import.
func (b *builder) inImport(it *item) bool {
	if it.node == none || !ofImport(b.f.nodes[it.node].span) {
		return false
	}
	at := b.f.nodes[it.node].parent
	return at != none && ofImport(b.f.nodes[at].span)
}

// shortenImports folds the links of chains of imports: a module within another of which a third one takes the time. What is below
// a link is drawn one level up.
func (b *builder) shortenImports() {
	items := b.items
	passes := make([]bool, len(items)) // an import below takes the time
	for i := range items {
		it := &items[i]
		if it.parent == none || !b.inImport(it) {
			continue
		}
		if above := items[it.parent].node; above != none && b.f.nodes[it.node].duration() >= b.f.nodes[above].duration()/10*mostly {
			passes[it.parent] = true
		}
	}
	for i := range items {
		it := &items[i]
		if it.parent == none {
			continue
		}
		if above := &items[it.parent]; above.link {
			it.parent = above.parent
		}
		it.depth = items[it.parent].depth + 1
		it.link = passes[i] && b.inImport(it)
		it.folded = it.folded || it.link
	}
}

// truncateModule leaves out the first packages of a module, which are the same in many, where the name of its import is longer
// than columns.
func truncateModule(name string, columns int, ellipsis string) string {
	module, ok := strings.CutPrefix(name, importPrefix)
	if !ok || columnsOf(name) <= columns || strings.Contains(module, " ") {
		return name
	}
	short := importPrefix + ellipsis
	for {
		_, rest, more := strings.Cut(module, ".")
		if !more {
			return short + module
		}
		if module = rest; columnsOf(short)+columnsOf(module) <= columns {
			return short + module
		}
	}
}
