package receive

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds on the memory that requests in hand may take, in bytes.
const (
	roomForAll   = 114 << 20
	roomForLarge = 98 << 20 // what is left is for small requests alone; half of the largest request is held twice while it grows
	smallBytes   = 2 * keepBytes
	unzipBytes   = 96 << 10 // what decompressing one takes
)

// slowAge is the age from which a request that still arrives may have to make room for others.
const slowAge = 200 * time.Millisecond

// room is the memory for requests. When it is full, those that arrive wait for those that are being stored; a request that
// arrives more slowly than any other is given up.
type room struct {
	mu       sync.Mutex
	used     int
	arriving map[*arrival]struct{}
	changed  chan struct{} // closed when something is freed; nil when nobody waits
	evicted  atomic.Int64
}

// arrival is a request that is being read.
type arrival struct {
	evict    func() // ends the reading; must not wait
	begun    time.Time
	received atomic.Int64 // bytes
	held     int          // bytes of room; guarded by room.mu
	evicted  bool         // guarded by room.mu
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

// arrived ends the reading of a request: it keeps its room and is not given up any more. It may be called twice.
func (r *room) arrived(a *arrival) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.arriving, a)
}

// take waits for n bytes of room. It fails when ctx ends, or with [errEvicted].
func (r *room) take(ctx context.Context, a *arrival, n int) error {
	for {
		changed, err := r.tryTake(a, n)
		if changed == nil {
			return err
		}
		wait := time.NewTimer(slowAge / 2) // others grow old
		select {
		case <-changed:
		case <-wait.C:
		case <-ctx.Done():
		}
		wait.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// tryTake takes n bytes, or returns a channel that is closed when it makes sense to try again.
func (r *room) tryTake(a *arrival, n int) (changed <-chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	limit := roomForAll
	if a.held+n > smallBytes {
		limit = roomForLarge
	}
	switch {
	case a.evicted:
		return nil, errEvicted
	case r.used+n <= limit:
		r.used += n
		a.held += n
		return nil, nil
	}
	slowest := r.slowest()
	if slowest != nil {
		slowest.evicted = true
		r.evicted.Add(1)
		if slowest == a {
			return nil, errEvicted
		}
		slowest.evict()
		r.wake()
	}
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed, nil
}

// slowest is the request with the fewest bytes a second of those that are old enough and hold something; nil when there is
// none, or one that was given up has not gone yet.
func (r *room) slowest() *arrival {
	var slowest *arrival
	var least float64
	now := time.Now()
	for a := range r.arriving {
		age := now.Sub(a.begun)
		if a.evicted {
			return nil
		}
		if age < slowAge || a.held == 0 {
			continue
		}
		if rate := float64(a.received.Load()) / age.Seconds(); slowest == nil || rate < least {
			slowest, least = a, rate
		}
	}
	return slowest
}

// give returns n bytes.
func (r *room) give(a *arrival, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used -= n
	a.held -= n
	r.wake()
}

// leave ends a request and returns what it still holds.
func (r *room) leave(a *arrival) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.arriving, a)
	r.used -= a.held
	a.held = 0
	r.wake()
}

// wake lets those who wait try again. The caller holds mu.
func (r *room) wake() {
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}
