package receive

import (
	"context"
	"errors"
	"testing"
)

// TestNextSize wants every buffer to reach the largest request without more room than there is for large ones.
func TestNextSize(t *testing.T) {
	for _, most := range []int{1, firstBytes, firstBytes + 1, 3 << 20, maxRequest/2 + 1, maxRequest, maxRequest + 1} {
		for first := range 50 {
			size := first * keepBytes / 49
			for steps := 0; size < most; steps++ {
				next := nextSize(size, most)
				if next <= size || next > most || size+next > roomForLarge || steps > 30 {
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
	r.enter(stalled)
	r.enter(other)
	other.received.Store(1 << 40)
	if err := r.take(ctx, stalled, roomForLarge); err != nil {
		t.Fatal(err)
	}
	if err := r.take(ctx, other, keepBytes); err != nil { // there is always room for small ones
		t.Fatal(err)
	}
	taken := make(chan error, 1)
	go func() { taken <- r.take(ctx, other, roomForLarge-keepBytes) }()
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
	r.enter(waiter)
	cancel()
	if err := r.take(ctx, waiter, roomForLarge); !errors.Is(err, context.Canceled) {
		t.Errorf("no room: %v", err)
	}
	r.leave(waiter)
	r.leave(other)
	if r.used != 0 || len(r.arriving) != 0 || r.evicted.Load() != 1 {
		t.Errorf("%d bytes, %d requests left, %d evicted", r.used, len(r.arriving), r.evicted.Load())
	}
}
