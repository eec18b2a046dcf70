package redact

import "sync"

// hints finds in one pass which kinds of secrets a text may hold: those of which a hint occurs in it, in any case. Texts
// without any, which nearly all are, cost no more than that pass. It is the automaton of Aho and Corasick over the few letters
// that occur in hints.
type hints struct {
	class [256]uint8 // letter by byte; 0 for bytes in no hint
	next  []uint16   // state by state<<6 | letter
	found []uint64   // kinds, a bit each, by state
}

const letterBits = 6

var hintsOfKinds = sync.OnceValue(func() *hints {
	h := &hints{next: make([]uint16, 1<<letterBits), found: make([]uint64, 1)}
	letters := uint8(0)
	for i := range kinds {
		for _, hint := range kinds[i].hints {
			state := uint16(0)
			for _, c := range []byte(hint) {
				if h.class[c] == 0 {
					letters++
					h.class[c] = letters
					if c >= 'a' && c <= 'z' {
						h.class[c-'a'+'A'] = letters
					}
				}
				at := int(state)<<letterBits | int(h.class[c])
				if h.next[at] == 0 {
					h.next[at] = uint16(len(h.found))
					h.next = append(h.next, make([]uint16, 1<<letterBits)...)
					h.found = append(h.found, 0)
				}
				state = h.next[at]
			}
			h.found[state] |= 1 << i
		}
	}
	h.link()
	return h
})

// link completes the tree of hints to an automaton: a state without an edge for a letter goes where its longest proper suffix
// goes.
func (h *hints) link() {
	suffix := make([]uint16, len(h.found))
	var queue []uint16
	for _, child := range h.next[:1<<letterBits] {
		if child != 0 {
			queue = append(queue, child)
		}
	}
	for len(queue) > 0 {
		state := int(queue[0])
		queue = queue[1:]
		back := int(suffix[state])
		h.found[state] |= h.found[back]
		for letter := range 1 << letterBits {
			at := state<<letterBits | letter
			onward := h.next[back<<letterBits|letter]
			if child := h.next[at]; child != 0 {
				suffix[child] = onward
				queue = append(queue, child)
			} else {
				h.next[at] = onward
			}
		}
	}
}

// scan returns the kinds of secrets that s may hold, a bit each.
func (h *hints) scan(s string) (found uint64) {
	state := uint16(0)
	for i := range len(s) {
		state = h.next[int(state)<<letterBits|int(h.class[s[i]])]
		found |= h.found[state]
	}
	return found
}

// Suspicious reports whether s may hold a secret. It is quick, allocates nothing, and never misses what [String] hides.
func Suspicious(s string) bool { return hintsOfKinds().scan(s) != 0 }
