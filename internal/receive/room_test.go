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
	other.little = true
	if err := r.take(ctx, other, littleBytes); err != nil { // there is always room for little ones
		t.Fatal(err)
	}
	taken := make(chan error, 1)
	go func() { taken <- r.take(ctx, other, roomForLarge) }()
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

// Whatever large requests hold, little ones get room at once, those of new senders too.
func TestRoomForLittle(t *testing.T) {
	var r room
	r.request(t, &arrival{proven: true}, roomForLarge)
	r.request(t, &arrival{proven: true, whole: true}, smallBytes)
	for range roomForNew / littleBytes {
		r.request(t, &arrival{little: true}, littleBytes)
	}
	for range (roomForLittle - roomForNew) / littleBytes {
		r.request(t, &arrival{little: true, proven: true}, littleBytes)
	}
	for a := range r.arriving {
		r.leave(a)
	}
	if r.main.used != 0 || r.little.used != 0 {
		t.Errorf("%d and %d bytes left", r.main.used, r.little.used)
	}
}

// Of little requests that wait, those of proven connections are the next, then who has come last.
func TestLittleInTurn(t *testing.T) {
	var r room
	for range (roomForNew + littleBytes) / littleBytes {
		r.request(t, &arrival{little: true, proven: true}, littleBytes)
	}
	full := slices.Collect(maps.Keys(r.arriving))
	r.request(t, &arrival{little: true, proven: true}, roomForLittle-r.little.used)
	got := make(chan *arrival)
	var waiting []*arrival
	for i := range 4 {
		a := r.request(t, &arrival{little: true, proven: i == 1}, 0)
		waiting = append(waiting, a)
		go func() {
			if err := r.take(context.Background(), a, littleBytes); err != nil {
				t.Error(err)
			}
			got <- a
		}()
		for n := 0; n <= i; runtime.Gosched() {
			r.mu.Lock()
			n = len(r.little.waiting)
			r.mu.Unlock()
		}
	}
	for _, next := range []int{1, 3, 2, 0} {
		for {
			r.leave(full[0])
			full = full[1:]
			r.mu.Lock()
			granted := waiting[next].slot > 0
			r.mu.Unlock()
			if granted {
				break
			}
		}
		if a := <-got; a != waiting[next] {
			t.Errorf("not number %d", next)
		}
	}
}

// A little request that has outgrown its room, and finds no other, is not in the way of others.
func TestLittleOutgrows(t *testing.T) {
	var r room
	r.request(t, &arrival{}, roomForSmall)
	ctx, cancel := context.WithCancel(context.Background())
	var growing sync.WaitGroup
	defer growing.Wait()
	defer cancel()
	for range roomForNew / littleBytes {
		a := &arrival{little: true}
		a.evict = func() { go r.leave(a) }
		r.request(t, a, littleBytes)
		growing.Go(func() {
			if err := r.take(ctx, a, 2*littleBytes); !errors.Is(err, errEvicted) && !errors.Is(err, context.Canceled) {
				t.Errorf("a request that has outgrown its room: %v", err)
			}
		})
	}
	r.request(t, &arrival{little: true}, littleBytes)
	if n := r.evicted.Load(); n == 0 {
		t.Error("nobody made room")
	}
}
