package timeline

import (
	"strings"

	"forkspan.dev/forkspan/internal/otlp"
)

// spanError is what a failed span says of its failure.
type spanError struct {
	kind    string // exception type, may be empty
	message string
}

// errorOf reads the error of a node from its last exception event, else from its status.
func (b *builder) errorOf(at int32) spanError {
	if e, ok := b.errors[at]; ok {
		return e
	}
	s := b.f.nodes[at].span
	e := spanError{message: s.Message}
	for _, ev := range s.Events() {
		if ev.Name != "exception" {
			continue
		}
		var found spanError
		for _, a := range ev.Attributes {
			text, _ := a.Value.(string)
			switch a.Key {
			case "exception.type":
				found.kind = text
			case "exception.message":
				found.message = text
			}
		}
		if found != (spanError{}) {
			e = found
		}
	}
	b.errors[at] = e
	return e
}

// originates tells whether the error of a node is its own: an error that came up from a child is said there, where it began. A
// wrapped message still holds the child's.
func (b *builder) originates(at int32) bool {
	own := b.errorOf(at)
	for c := range b.f.children(at) {
		if b.f.nodes[c].span.Status != otlp.StatusError {
			continue
		}
		child := b.errorOf(c)
		if child == own || own.message == "" || child.message != "" && strings.Contains(own.message, child.message) {
			return false
		}
	}
	return true
}
