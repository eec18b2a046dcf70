package forward

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
)

// Bounds of what waits and of how long one request is tried.
const (
	maxWaiting = 64 << 20 // bytes
	senders    = 4
	maxTries   = 6
	firstPause = 100 * time.Millisecond // doubles with each try
	maxPause   = 30 * time.Second       // for a backend that asks for one
)

// Stats counts spans.
type Stats struct {
	Sent    int64  // taken by the backend
	Failed  int64  // refused, given up, or without room to wait
	Waiting int64  // not sent yet
	Local   int64  // left out by SendSampled
	Reason  string // of the last failure
}

// item is one request that waits.
type item struct {
	body  []byte
	spans int64
}

// Forwarder passes requests on to one backend. It is safe for concurrent use.
type Forwarder struct {
	transport transport
	ctx       context.Context // of everything under way
	stop      context.CancelFunc
	done      sync.WaitGroup

	mu      sync.Mutex
	wake    sync.Cond // something waits, or no more will come
	queue   []item
	bytes   int // in queue and under way
	closing bool
	stats   Stats
}

// New starts a forwarder to b. Close ends it.
func New(b *Backend) (*Forwarder, error) {
	t, err := newTransport(b)
	if err != nil {
		return nil, err
	}
	f := &Forwarder{transport: t}
	f.wake.L = &f.mu
	f.ctx, f.stop = context.WithCancel(context.Background())
	for range senders {
		f.done.Go(f.run)
	}
	return f, nil
}

// SendSampled hands over what is sampled of a request, and counts the rest as Local. The body may be used again.
func (f *Forwarder) SendSampled(body []byte, spans int) {
	rest, local := otlp.CutUnsampled(body)
	if local > 0 {
		f.mu.Lock()
		f.stats.Local += int64(local)
		f.mu.Unlock()
	} else {
		rest = bytes.Clone(body)
	}
	if spans > local {
		f.Send(rest, spans-local)
	}
}

// Send hands over the protobuf of a request with its number of spans. It never waits. The body must not change afterwards.
func (f *Forwarder) Send(body []byte, spans int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing || f.bytes+len(body) > maxWaiting {
		f.stats.Failed += int64(spans)
		f.stats.Reason = "too much was waiting"
		return
	}
	f.bytes += len(body)
	f.stats.Waiting += int64(spans)
	f.queue = append(f.queue, item{body, int64(spans)})
	f.wake.Signal()
}

// Close sends what waits until ctx ends and returns the final counts. It is called once, after the last Send.
func (f *Forwarder) Close(ctx context.Context) Stats {
	f.mu.Lock()
	f.closing = true
	f.wake.Broadcast()
	f.mu.Unlock()
	release := context.AfterFunc(ctx, f.stop)
	defer release()
	f.done.Wait()
	f.stop()
	f.transport.close()
	return f.stats
}

func (f *Forwarder) run() {
	for {
		it, ok := f.next()
		if !ok {
			return
		}
		rejected, err := f.try(it.body)
		f.settle(it, rejected, err)
	}
}

// next waits for a request; none comes once the forwarder is closing and its queue empty, or its time is over.
func (f *Forwarder) next() (item, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.queue) == 0 && !f.closing {
		f.wake.Wait()
	}
	if len(f.queue) == 0 || f.ctx.Err() != nil {
		return item{}, false
	}
	it := f.queue[0]
	f.queue[0] = item{}
	f.queue = f.queue[1:]
	return it, true
}

// try sends one request, again after a pause where that may help. It returns how many spans the backend rejected.
func (f *Forwarder) try(body []byte) (rejected int64, err error) {
	pause := firstPause
	for tries := 1; ; tries++ {
		rejected, err = f.transport.send(f.ctx, body)
		var again *retryError
		if err == nil || !errors.As(err, &again) || tries == maxTries {
			return rejected, err
		}
		timer := time.NewTimer(min(max(pause, again.after), maxPause))
		select {
		case <-timer.C:
		case <-f.ctx.Done():
			timer.Stop()
			return 0, err
		}
		pause *= 2
	}
}

func (f *Forwarder) settle(it item, rejected int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bytes -= len(it.body)
	if err != nil {
		over := f.ctx.Err() != nil
		switch {
		case !over || !strings.Contains(err.Error(), context.Canceled.Error()):
			f.stats.Reason = err.Error()
		case f.stats.Reason == "": // that we gave up is no reason
			f.stats.Reason = "no answer in time"
		}
		if over {
			return // stays among what waits: nobody has refused it
		}
		f.stats.Waiting -= it.spans
		f.stats.Failed += it.spans
		return
	}
	rejected = min(rejected, it.spans)
	f.stats.Waiting -= it.spans
	f.stats.Sent += it.spans - rejected
	f.stats.Failed += rejected
	if rejected > 0 {
		f.stats.Reason = "rejected by the backend"
	}
}
