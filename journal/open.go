package journal

import "iter"

// openSpans are the spans that have not ended, by the hashes of their ids. It is not safe for concurrent use.
type openSpans struct {
	slots  []*draft          // by the hash; to come by one here costs a tenth of what it costs in a map
	others map[uint64]*draft // whose slots were taken
	n      int
	twice  bool // there were two at once with the same ids; from then on none is known by its ids
}

// openSlots is more than are open at once in most programs.
const openSlots = 512

func newOpenSpans() openSpans {
	return openSpans{slots: make([]*draft, openSlots), others: map[uint64]*draft{}}
}

// put adds d, and returns the one with the same hash that it replaces; nil when there is none.
func (o *openSpans) put(hash uint64, d *draft) (before *draft) {
	if before = o.take(hash); before != nil && before != d {
		o.twice = true
	}
	d.hash = hash
	o.n++
	if slot := &o.slots[hash%openSlots]; *slot == nil {
		*slot = d
	} else {
		o.others[hash] = d
	}
	return before
}

// take takes one out; nil when it is not there.
func (o *openSpans) take(hash uint64) *draft {
	slot := &o.slots[hash%openSlots]
	d := *slot
	switch {
	case d != nil && d.hash == hash:
		*slot = nil
	case len(o.others) == 0:
		return nil
	default:
		if d = o.others[hash]; d == nil {
			return nil
		}
		delete(o.others, hash)
	}
	o.n--
	return d
}

func (o *openSpans) all() iter.Seq[*draft] {
	return func(yield func(*draft) bool) {
		for _, d := range o.slots {
			if d != nil && !yield(d) {
				return
			}
		}
		for _, d := range o.others {
			if !yield(d) {
				return
			}
		}
	}
}
