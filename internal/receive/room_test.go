package receive

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestNextSize wants every buffer to reach the largest request without more room than there is for large ones, beside what it
// was compressed to.
func TestNextSize(t *testing.T) {
	for _, most := range []int{1, littleBytes, littleBytes + 1, 3 << 20, maxRequest/2 + 1, maxRequest, maxRequest + 1} {
		for _, announced := range []int{-1, most - 1} {
			size := firstSize(announced)
			for steps := 0; size < most; steps++ {
				next := nextSize(size, most)
				if next <= size || next > most || size+next+maxZipped+unzipBytes > roomForLarge || steps > 30 {
					t.Fatalf("from %d on the way to %d: %d", size, most, next)
				}
				size = next
			}
		}
	}
}

// TestRoom fills the room with a request that stalls: it makes room for the next one, and all is given back.
func TestRoom(t *testing.T) {
	var r room
	evicted := make(chan struct{})
	stalled, other := &arrival{}, &arrival{evict: func() {}, proven: true}
	stalled.evict = func() { close(evicted) }
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stalled.begun = time.Now()
	other.begun = time.Now()
	other.received.Store(1 << 40)
	if err := r.take(ctx, stalled, roomForLarge); err != nil {
		t.Fatal(err)
	}
	if err := r.take(ctx, other, littleBytes); err != nil { // there is always room for small ones
		t.Fatal(err)
	}
	taken := make(chan error, 1)
	go func() { taken <- r.take(ctx, other, roomForLarge-littleBytes) }()
	<-evicted
	if err := r.take(ctx, stalled, 1); !errors.Is(err, errEvicted) {
		t.Errorf("the stalled request: %v", err)
	}
	r.leave(stalled)
	if err := <-taken; err != nil {
		t.Error(err)
	}
	r.arrived(other)
	waiter := &arrival{evict: func() {}}
	waiter.begun = time.Now()
	cancel()
	if err := r.take(ctx, waiter, roomForLarge); !errors.Is(err, context.Canceled) {
		t.Errorf("no room: %v", err)
	}
	r.leave(waiter)
	r.leave(other)
	if r.main.used != 0 || len(r.arriving) != 0 || r.evicted.Load() != 1 {
		t.Errorf("%d bytes, %d requests left, %d evicted", r.main.used, len(r.arriving), r.evicted.Load())
	}
}

// request registers one that holds n bytes.
func (r *room) request(t *testing.T, a *arrival, n int) *arrival {
	t.Helper()
	if a.evict == nil {
		a.evict = func() {}
	}
	a.begun = time.Now()
	if n > 0 {
		if err := r.take(context.Background(), a, n); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// A sender that is new gets room at once, whatever others hold.
func TestRoomForNewcomers(t *testing.T) {
	var r room
	r.request(t, &arrival{proven: true}, roomForLarge)
	for range (roomForAll - roomForLarge) / smallBytes {
		r.request(t, &arrival{proven: true}, smallBytes)
	}
	for range roomForNewcomers / littleBytes {
		r.request(t, &arrival{newcomer: true}, littleBytes)
	}
	if all := r.main.used + r.newcomers.used; all != 98<<20 {
		t.Errorf("%d MiB for all", all>>20)
	}
	for a := range r.arriving {
		r.leave(a)
	}
	if r.main.used != 0 || r.newcomers.used != 0 {
		t.Errorf("%d and %d bytes left", r.main.used, r.newcomers.used)
	}
}

// Of senders that are new, who has come last is the next.
func TestNewcomersInTurn(t *testing.T) {
	var r room
	for range roomForNewcomers / littleBytes {
		r.request(t, &arrival{newcomer: true}, littleBytes)
	}
	full := slices.Collect(maps.Keys(r.arriving))
	got := make(chan *arrival)
	waiting := func(more int) {
		for {
			r.mu.Lock()
			n := len(r.newcomers.waiting)
			r.mu.Unlock()
			if n == more {
				return
			}
			runtime.Gosched()
		}
	}
	var newcomers []*arrival
	for i := range 3 {
		a := r.request(t, &arrival{newcomer: true}, 0)
		newcomers = append(newcomers, a)
		go func() {
			if err := r.take(context.Background(), a, littleBytes); err != nil {
				t.Error(err)
			}
			got <- a
		}()
		waiting(i + 1)
	}
	for i := range 3 {
		r.leave(full[i])
		if a := <-got; a != newcomers[2-i] {
			t.Errorf("%d: not the last that came", i)
		}
	}
}

// A request that needs more than newcomers get, and finds no room for it, is not in their way.
func TestNewcomerOutgrows(t *testing.T) {
	var r room
	r.request(t, &arrival{}, roomForOthers)
	ctx, cancel := context.WithCancel(context.Background())
	var growing sync.WaitGroup
	defer growing.Wait()
	defer cancel()
	for range roomForNewcomers / littleBytes {
		a := &arrival{newcomer: true}
		a.evict = func() { go r.leave(a) }
		r.request(t, a, littleBytes)
		growing.Go(func() {
			if err := r.take(ctx, a, 2*littleBytes); !errors.Is(err, errEvicted) && !errors.Is(err, context.Canceled) {
				t.Errorf("a request that has outgrown its room: %v", err)
			}
		})
	}
	r.request(t, &arrival{newcomer: true}, littleBytes)
	if n := r.evicted.Load(); n == 0 {
		t.Error("nobody made room")
	}
}
