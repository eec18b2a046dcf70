package receive

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds on the memory that requests in hand may take, in bytes.
const (
	roomForAll    = 98 << 20 // the rest of which, beyond what follows, is for small requests of proven connections
	roomForLarge  = 90 << 20 // the largest, a quarter of it twice while it grows, and what it was compressed to
	roomForOthers = 40 << 20 // small requests of connections that are not proven
	smallBytes    = 2 * keepBytes
	littleBytes   = 256 << 10
	unzipBytes    = 96 << 10 // what decompressing a request takes
)

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
// least; requests that arrive more slowly than others are given up.
type room struct {
	mu       sync.Mutex
	used     int
	leaving  int // bytes of requests that were given up and are still held
	arriving map[*arrival]struct{}
	waiting  []*waiter
	looking  bool // a lookout is due
	evicted  atomic.Int64
}

// arrival is a request that is being read.
type arrival struct {
	evict    func() // ends the reading; must not wait
	proven   bool   // its connection has brought a whole request before
	begun    time.Time
	received atomic.Int64 // bytes

	// Guarded by room.mu:
	held    int // bytes of room
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

// enter registers a request that is about to be read.
func (r *room) enter(a *arrival) {
	a.begun = time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.arriving == nil {
		r.arriving = make(map[*arrival]struct{})
	}
	r.arriving[a] = struct{}{}
}

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
	if r.fits(w) {
		r.grant(w)
		r.mu.Unlock()
		return nil
	}
	w.since, w.done = time.Now(), make(chan error, 1)
	a.waits++
	r.waiting = append(r.waiting, w)
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
		r.stopWaiting(w)
		return ctx.Err() // what was granted meanwhile is given back with the rest
	}
}

// lookOut makes room again and again while somebody waits, since others grow old.
func (r *room) lookOut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looking = false
	r.makeRoom()
}

func (w *waiter) limit() int {
	switch small := w.a.held+w.n <= smallBytes; {
	case small && w.a.proven:
		return roomForAll
	case small:
		return roomForOthers
	}
	return roomForLarge
}

func (r *room) fits(w *waiter) bool { return w.n == 0 || r.used+w.n <= w.limit() }

func (r *room) grant(w *waiter) {
	r.used += w.n
	w.a.held += w.n
}

func (r *room) stopWaiting(w *waiter) {
	for i, other := range r.waiting {
		if other == w {
			r.waiting = slices.Delete(r.waiting, i, i+1)
			w.a.waits--
			w.a.waited += time.Since(w.since)
			return
		}
	}
}

// first is who gets room next.
func (r *room) first() *waiter {
	var best *waiter
	for _, w := range r.waiting {
		if best == nil || w.before(best) {
			best = w
		}
	}
	return best
}

// before tells who goes first: a proven connection, then whoever wants little, then who has begun first.
func (w *waiter) before(o *waiter) bool {
	if w.a.proven != o.a.proven {
		return w.a.proven
	}
	if little := w.n <= littleBytes; little != (o.n <= littleBytes) {
		return little
	}
	return w.a.begun.Before(o.a.begun)
}

// serve gives those that wait what has become free.
func (r *room) serve() {
	for len(r.waiting) > 0 {
		w := r.first()
		if !r.fits(w) {
			return
		}
		r.stopWaiting(w)
		r.grant(w)
		w.done <- nil
	}
}

// makeRoom gives up the slowest requests: as many as the first that waits needs, and all that are very slow while others wait.
func (r *room) makeRoom() {
	if len(r.waiting) == 0 {
		return
	}
	r.looking = true
	time.AfterFunc(lookEvery, r.lookOut)
	now, w := time.Now(), r.first()
	age, wanted := slowForOthers, 0
	if w.a.proven {
		age = slowForProven
	}
	for _, other := range r.waiting {
		wanted = min(wanted+other.n, w.limit())
	}
	for {
		slowest, rate := r.slowest(now, age)
		free := w.limit() - (r.used - r.leaving)
		if slowest == nil || free >= wanted || free >= w.n && rate > verySlow {
			return
		}
		r.giveUp(slowest)
	}
}

func (r *room) giveUp(a *arrival) {
	a.evicted = true
	r.leaving += a.held
	r.evicted.Add(1)
	for _, own := range r.waiting {
		if own.a == a {
			r.stopWaiting(own)
			own.done <- errEvicted
			break
		}
	}
	a.evict()
}

// slowest is the request of a certain age that has brought the fewest bytes a second, not counting the time in which we made it
// wait; nil when there is none.
func (r *room) slowest(now time.Time, age time.Duration) (slowest *arrival, least float64) {
	for a := range r.arriving {
		if a.evicted || a.held == 0 {
			continue
		}
		all := now.Sub(a.begun)
		reading := all - a.waited
		switch {
		case a.waits > 0 && all < waitsTooLong, a.waits == 0 && reading < age:
			continue // it is we who are slow, or it is young
		case a.waits > 0:
			reading = all
		}
		if rate := float64(a.received.Load()) / reading.Seconds(); slowest == nil || rate < least {
			slowest, least = a, rate
		}
	}
	return slowest, least
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
	r.release(a, a.held)
}

func (r *room) release(a *arrival, n int) {
	r.used -= n
	a.held -= n
	if a.evicted {
		r.leaving -= n
	}
	r.serve()
}
