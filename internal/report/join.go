package report

import (
	"math/bits"
	"runtime"
	"sync"

	"forkspan.dev/forkspan/internal/otlp"
)

// none is no record.
const none = int32(-1)

// deepest bounds how many spans lie between a request span and the next one above; a loop of parents ends there too.
const deepest = 128

// table finds spans by their ids. It holds places in a slice of which at returns the ids.
type table[T any] struct {
	all   []T
	at    func(*T) *ids
	slots []uint64 // the upper half of the hash, and below it the place + 1; 0 is free
	shift int
}

func newTable[T any](all []T, at func(*T) *ids) *table[T] {
	size := bits.Len(uint(max(len(all), 1))) + 1 // at most half full
	return &table[T]{all: all, at: at, slots: make([]uint64, 1<<size), shift: 64 - size}
}

const upper = 0xffffffff << 32

// find returns the place of a span, and the slot where it is or belongs.
func (t *table[T]) find(trace *otlp.TraceID, span *otlp.SpanID) (place int32, slot uint64) {
	hash := hashIDs(trace, span)
	mask := uint64(len(t.slots) - 1)
	for slot = hash >> t.shift; t.slots[slot] != 0; slot = (slot + 1) & mask {
		if (t.slots[slot]^hash)&upper != 0 {
			continue
		}
		place = int32(t.slots[slot]) - 1
		if i := t.at(&t.all[place]); i.span == *span && i.trace == *trace {
			return place, slot
		}
	}
	return none, slot
}

func (t *table[T]) set(slot uint64, place int) {
	t.slots[slot] = t.at(&t.all[place]).hash()&upper | uint64(place+1)
}

// forest tells which request spans are one request.
type forest struct {
	*set
	above []int32 // the next request span above each record, none for the outermost
	twice []bool  // copies of records; nil when there are none
	next  []int32 // the next record of a server's view
}

// join finds for each request span the next one above it. Of copies of a span only the first that has an end stays.
func (s *set) join() *forest {
	f := &forest{set: s, above: make([]int32, len(s.records))}
	byID := newTable(s.records, func(r *record) *ids { return &r.ids })
	for i := range s.records {
		r := &s.records[i]
		place, slot := byID.find(&r.trace, &r.span)
		if place == none {
			byID.set(slot, i)
			continue
		}
		if f.twice == nil {
			f.twice = make([]bool, len(s.records))
		}
		if s.records[place].flags&unfinished != 0 && r.flags&unfinished == 0 {
			byID.set(slot, i)
			f.twice[place] = true
		} else {
			f.twice[i] = true
		}
	}
	between := newTable(s.between, func(i *ids) *ids { return i })
	for i := range s.between {
		if place, slot := between.find(&s.between[i].trace, &s.between[i].span); place == none {
			between.set(slot, i)
		}
	}
	var workers sync.WaitGroup
	processors := runtime.GOMAXPROCS(0)
	for w := range processors {
		workers.Go(func() {
			for i := len(s.records) * w / processors; i < len(s.records)*(w+1)/processors; i++ {
				f.above[i] = s.above(int32(i), byID, between)
			}
		})
	}
	workers.Wait()
	return f
}

// above returns the next request span above record i.
func (s *set) above(i int32, byID *table[record], between *table[ids]) int32 {
	r := &s.records[i]
	parent := r.parent
	for range deepest {
		if parent == (otlp.SpanID{}) {
			break
		}
		if place, _ := byID.find(&r.trace, &parent); place != none {
			if place == i {
				break
			}
			return place
		}
		place, _ := between.find(&r.trace, &parent)
		if place == none {
			break
		}
		parent = s.between[place].parent
	}
	return none
}

// outermost returns the record at the top of the request that i belongs to; i itself where parents go round in a circle.
func (f *forest) outermost(i int32) int32 {
	at := i
	for range deepest {
		if f.above[at] == none {
			return at
		}
		at = f.above[at]
	}
	return i
}

// request is the request spans of one request. There may be a million.
type request struct {
	outer  int32 // the outermost record; the client's view, unless that is vLLM's own
	first  int32 // first record of the server's view, none where there is none; forest.next leads to the others
	warmup bool
}

// requests gathers the records of each request, in order of their outermost records, and completes the client's view.
func (f *forest) requests() []request {
	const engine, inner = 1, 2 // vLLM spans are below this outermost record; request spans are below this record
	below := make([]uint8, len(f.records))
	tops := make([]int32, len(f.records)) // the outermost record, then the place of its request
	n := 0
	for i := range f.records {
		tops[i] = f.outermost(int32(i))
		switch top := tops[i]; {
		case f.copy(i):
			continue
		case top == int32(i):
			n++
			continue
		case f.records[i].flags&vllm != 0:
			below[top] |= engine
		}
		below[f.above[i]] |= inner
	}
	list := make([]request, 0, n)
	at := make([]int32, len(f.records))
	for i := range f.records {
		if tops[i] != int32(i) || f.copy(i) {
			continue
		}
		at[i] = int32(len(list))
		q := request{outer: int32(i), first: none}
		if f.records[i].flags&vllm != 0 {
			q.first = q.outer
		}
		list = append(list, q)
	}
	f.next = make([]int32, len(f.records))
	for i := range f.next {
		f.next[i] = none
	}
	for i := range f.records {
		top := tops[i]
		if top == int32(i) || f.copy(i) || f.copy(int(top)) {
			continue
		}
		q, r := &list[at[top]], &f.records[i]
		isServer := r.flags&vllm != 0
		if below[top]&engine == 0 {
			isServer = r.flags&server != 0 && below[i]&inner == 0
		}
		switch {
		case isServer && q.first != q.outer:
			f.next[i], q.first = q.first, int32(i)
		case !isServer:
			f.records[top].complete(r)
		}
	}
	for i := range list {
		if q := &list[i]; q.first != none && q.first != q.outer {
			f.records[q.outer].completeWords(&f.records[q.first])
		}
	}
	return list
}

func (f *forest) copy(i int) bool { return f.twice != nil && f.twice[i] }

// complete fills in what r does not know and the client's span below it does.
func (r *record) complete(below *record) {
	if r.flags&unfinished != 0 {
		return
	}
	for t := range r.times {
		if t != endToEnd && r.times[t] == unset {
			r.times[t] = below.times[t]
		}
	}
	if r.input == unset {
		r.input = below.input
	}
	if r.output == unset {
		r.output = below.output
	}
	r.completeWords(below)
}

func (r *record) completeWords(below *record) {
	for _, w := range [...]int{model, route, operation} {
		if r.name[w] == 0 {
			r.name[w] = below.name[w]
		}
	}
}
