package receive

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds on the memory that requests in hand may take, in bytes.
const (
	roomForAll    = 84 << 20 // of the main room, for small requests that are here and are being decompressed
	roomForLarge  = 77 << 20 // of it, for all others: the largest, what it grows from, and what it was compressed to
	roomForSmall  = 40 << 20 // of it, for small requests: the garbage collector has little to do while others stall
	roomForLittle = 16 << 20 // beside the main room
	roomForNew    = 12 << 20 // of that, for little requests of connections that are not proven
	smallBytes    = 4 << 20
	littleBytes   = 512 << 10
	unzipBytes    = 96 << 10 // what decompressing a request takes
)

// maxSpare is how many buffers of littleBytes are kept for the next requests.
const maxSpare = maxInHand

// Ages from which a request that still arrives may have to make room: for connections that have brought a whole request
// before, and for others.
const (
	slowForProven = 100 * time.Millisecond
	slowForOthers = time.Second
	lookEvery     = 20 * time.Millisecond // at what may have to go
	waitsTooLong  = 10 * time.Second      // for a request that holds room and waits for more
)

// verySlow is how many bytes a second are too few while others wait.
const verySlow = 1 << 20

// room is the memory for requests. When it is full, those that arrive wait, those of proven connections and small ones the
// least; requests that arrive more slowly than others are given up. Little requests have room of their own, of which each takes
// all that it needs at once, so that none waits for more while it is in the way of others: whatever large ones hold, those that
// are like most get in.
type room struct {
	mu       sync.Mutex
	main     share
	little   share
	arriving map[*arrival]struct{} // those that hold some of it
	spare    [][]byte              // buffers of littleBytes
	looking  bool                  // a lookout is due
	evicted  atomic.Int64
}

// share is a part of the room.
type share struct {
	used    int
	leaving int       // bytes of requests that were given up and are still held
	waiting []*waiter // in the order in which they get room
}

// arrival is a request that is being read.
type arrival struct {
	evict    func() // ends the reading; must not wait
	proven   bool   // its connection has brought a whole request before
	little   bool   // its first room is that for little ones
	whole    bool   // all of it is here, compressed
	begun    time.Time
	received atomic.Int64 // bytes

	// Guarded by room.mu:
	held    int // bytes of the main room
	slot    int // bytes of the room for little ones
	waits   int // for room
	waited  time.Duration
	evicted bool
}

// waiter waits for n bytes of room.
type waiter struct {
	a     *arrival
	n     int
	since time.Time
	done  chan error // of size 1
}

// errEvicted is what the reading of a request ends with that was given up.
var errEvicted = errors.New("given up for others")

// arrived ends the reading of a request: it keeps its room and is not given up any more.
func (r *room) arrived(a *arrival) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.arriving, a)
}

// take waits for n bytes of room. It fails when ctx ends, or with [errEvicted].
func (r *room) take(ctx context.Context, a *arrival, n int) error {
	r.mu.Lock()
	if a.evicted {
		r.mu.Unlock()
		return errEvicted
	}
	w := &waiter{a: a, n: n}
	part := r.partFor(a)
	if part.fits(w) {
		r.grant(part, w)
		r.mu.Unlock()
		return nil
	}
	w.since, w.done = time.Now(), make(chan error, 1)
	a.waits++
	at, _ := slices.BinarySearchFunc(part.waiting, w, (*waiter).compare)
	part.waiting = slices.Insert(part.waiting, at, w)
	if !r.looking {
		r.makeRoom()
	}
	r.mu.Unlock()
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		r.mu.Lock()
		defer r.mu.Unlock()
		part.stopWaiting(w)
		return ctx.Err() // what was granted meanwhile is given back with the rest
	}
}

// partFor is the part of the room that a request gets more of. A little one gets there once what it ever may.
func (r *room) partFor(a *arrival) *share {
	if a.isFirst() {
		return &r.little
	}
	return &r.main
}

// lookOut makes room again and again while somebody waits, since others grow old.
func (r *room) lookOut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looking = false
	r.makeRoom()
}

// isFirst tells whether what it takes next is a little request's first room.
func (a *arrival) isFirst() bool { return a.little && a.slot == 0 && a.held == 0 }

func (w *waiter) limit() int {
	switch small := w.a.held+w.n <= smallBytes; {
	case w.a.isFirst() && w.a.proven:
		return roomForLittle
	case w.a.isFirst():
		return roomForNew
	case small && w.a.whole:
		return roomForAll
	case small:
		return roomForSmall
	}
	return roomForLarge
}

func (p *share) fits(w *waiter) bool { return p.used+w.n <= w.limit() }

func (r *room) grant(p *share, w *waiter) {
	if r.arriving == nil {
		r.arriving = make(map[*arrival]struct{})
	}
	r.arriving[w.a] = struct{}{}
	p.used += w.n
	if w.a.isFirst() {
		w.a.slot += w.n
	} else {
		w.a.held += w.n
	}
}

func (p *share) stopWaiting(w *waiter) {
	if i := slices.Index(p.waiting, w); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
		w.a.waits--
		w.a.waited += time.Since(w.since)
	}
}

// compare orders those that wait: proven connections, then whoever wants little, then who has begun first. Of little requests
// the last comes first: where many bring nothing, who has just come is the likeliest to bring something, and need not stand
// behind all of them.
func (w *waiter) compare(o *waiter) int {
	before := func(yes bool) int {
		if yes {
			return -1
		}
		return 1
	}
	if w.a.proven != o.a.proven {
		return before(w.a.proven)
	}
	if w.a.isFirst() && o.a.isFirst() {
		return o.a.begun.Compare(w.a.begun)
	}
	if little := w.n <= littleBytes; little != (o.n <= littleBytes) {
		return before(little)
	}
	return w.a.begun.Compare(o.a.begun)
}

// serve gives those that wait what has become free.
func (r *room) serve(p *share) {
	for len(p.waiting) > 0 {
		w := p.waiting[0]
		if !p.fits(w) {
			return
		}
		p.stopWaiting(w)
		r.grant(p, w)
		w.done <- nil
	}
}

// makeRoom gives up requests in both parts of the room, and does so again in a while.
func (r *room) makeRoom() {
	if len(r.main.waiting)+len(r.little.waiting) == 0 {
		return
	}
	r.looking = true
	time.AfterFunc(lookEvery, r.lookOut)
	now := time.Now()
	r.makeRoomIn(&r.main, now, func(a *arrival) int { return a.held })
	r.makeRoomIn(&r.little, now, func(a *arrival) int { return a.slot })
}

// makeRoomIn gives up the slowest requests of a part: as many as the first that waits needs, and all that are very slow while
// others wait.
func (r *room) makeRoomIn(p *share, now time.Time, held func(*arrival) int) {
	if len(p.waiting) == 0 {
		return
	}
	w := p.waiting[0]
	age, wanted := slowForOthers, 0
	if w.a.proven {
		age = slowForProven
	}
	for _, other := range p.waiting {
		wanted = min(wanted+other.n, w.limit())
	}
	for _, slow := range r.slow(now, age, held) {
		free := w.limit() - (p.used - p.leaving)
		if w.a.evicted || free >= wanted || free >= w.n && slow.rate > verySlow {
			return
		}
		r.giveUp(slow.arrival)
	}
}

func (r *room) giveUp(a *arrival) {
	a.evicted = true
	r.main.leaving += a.held
	r.little.leaving += a.slot
	r.evicted.Add(1)
	p := r.partFor(a)
	if i := slices.IndexFunc(p.waiting, func(w *waiter) bool { return w.a == a }); i >= 0 {
		own := p.waiting[i]
		p.stopWaiting(own)
		own.done <- errEvicted
	}
	a.evict()
}

// slowArrival is a request that may have to go.
type slowArrival struct {
	*arrival
	rate float64 // bytes a second, not counting the time in which we made it wait
}

// slow are the requests of a certain age that hold room, the slowest first.
func (r *room) slow(now time.Time, age time.Duration, held func(*arrival) int) []slowArrival {
	var all []slowArrival
	for a := range r.arriving {
		if a.evicted || held(a) == 0 {
			continue
		}
		since := now.Sub(a.begun)
		reading := since - a.waited
		switch {
		case a.waits > 0 && a.slot > 0 && since > age: // it has outgrown the room for little ones, and is in their way
			reading = since
		case a.waits > 0 && since < waitsTooLong, a.waits == 0 && reading < age:
			continue // it is we who are slow, or it is young
		case a.waits > 0:
			reading = since
		}
		all = append(all, slowArrival{a, float64(a.received.Load()) / reading.Seconds()})
	}
	slices.SortFunc(all, func(a, b slowArrival) int { return cmp.Compare(a.rate, b.rate) })
	return all
}

// give returns n bytes.
func (r *room) give(a *arrival, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.release(a, n)
}

// leave ends a request and returns what it still holds.
func (r *room) leave(a *arrival) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.arriving, a)
	r.release(a, a.held+a.slot)
}

// release returns the room for little ones first.
func (r *room) release(a *arrival, n int) {
	slot := min(n, a.slot)
	a.slot -= slot
	r.little.used -= slot
	a.held -= n - slot
	r.main.used -= n - slot
	if a.evicted {
		r.little.leaving -= slot
		r.main.leaving -= n - slot
	}
	r.serve(&r.little)
	r.serve(&r.main)
}

// buffer returns an empty one for n bytes, for which there must be room.
func (r *room) buffer(n int) []byte {
	if n == littleBytes {
		r.mu.Lock()
		defer r.mu.Unlock()
		if last := len(r.spare) - 1; last >= 0 {
			b := r.spare[last]
			r.spare = r.spare[:last]
			return b
		}
	}
	return make([]byte, 0, n)
}

// keep takes a buffer back.
func (r *room) keep(b []byte) {
	if cap(b) != littleBytes {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.spare) < maxSpare {
		r.spare = append(r.spare, b[:0])
	}
}
