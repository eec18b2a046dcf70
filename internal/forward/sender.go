package forward

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Bounds of what waits in a sender and of how long one request is tried.
const (
	maxWaiting = 64 << 20 // bytes
	senders    = 4
	maxTries   = 6
)

// Sent counts the spans that a Sender was given.
type Sent struct {
	Taken  int64  // by the backend
	Failed int64  // refused, given up, without room to wait, or not sent in time
	Reason string // of the last failure
}

// item is one request that waits.
type item struct {
	body  []byte
	spans int64
}

// Sender passes requests on to one backend from memory, for those that have no store of their own: processes inside another
// run. It never makes its caller wait. It is safe for concurrent use.
type Sender struct {
	transport transport
	timeout   time.Duration
	ctx       context.Context // of everything under way
	stop      context.CancelFunc
	done      sync.WaitGroup

	mu      sync.Mutex
	wake    sync.Cond // something waits, or no more will come
	queue   []item
	bytes   int // in queue and under way
	closing bool
	sent    Sent
}

// NewSender starts a sender to b. Close ends it.
func NewSender(b *Backend) (*Sender, error) {
	t, err := newTransport(b)
	if err != nil {
		return nil, err
	}
	s := &Sender{transport: t, timeout: b.Timeout}
	if s.timeout == 0 {
		s.timeout = DefaultTimeout
	}
	s.wake.L = &s.mu
	s.ctx, s.stop = context.WithCancel(context.Background())
	for range senders {
		s.done.Go(s.run)
	}
	return s, nil
}

// Send hands over the protobuf of a request with its number of spans. It never waits. The body must not change afterwards.
func (s *Sender) Send(body []byte, spans int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.bytes+len(body) > maxWaiting {
		s.sent.Failed += int64(spans)
		s.sent.Reason = "too much was waiting"
		return
	}
	s.bytes += len(body)
	s.queue = append(s.queue, item{body, int64(spans)})
	s.wake.Signal()
}

// Close sends what waits until ctx ends and returns the final counts. It is called once, after the last Send.
func (s *Sender) Close(ctx context.Context) Sent {
	s.mu.Lock()
	s.closing = true
	s.wake.Broadcast()
	s.mu.Unlock()
	release := context.AfterFunc(ctx, s.stop)
	defer release()
	s.done.Wait()
	s.stop()
	s.transport.close()
	for _, it := range s.queue {
		s.settle(it, answer{}, errLate)
	}
	return s.sent
}

var errLate = errors.New("no answer in time")

func (s *Sender) run() {
	for {
		it, ok := s.next()
		if !ok {
			return
		}
		a, err := s.try(it.body)
		s.settle(it, a, err)
	}
}

// next waits for a request; none comes once the sender is closing and its queue empty, or its time is over.
func (s *Sender) next() (item, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) == 0 && !s.closing {
		s.wake.Wait()
	}
	if len(s.queue) == 0 || s.ctx.Err() != nil {
		return item{}, false
	}
	it := s.queue[0]
	s.queue[0] = item{}
	s.queue = s.queue[1:]
	return it, true
}

// try sends one request, again after a pause where that may help.
func (s *Sender) try(body []byte) (a answer, err error) {
	pause := firstPause
	for tries := 1; ; tries++ {
		ctx, cancel := context.WithTimeout(s.ctx, s.timeout)
		a, err = s.transport.send(ctx, body)
		cancel()
		if err == nil {
			return a, nil
		}
		f := judge(err)
		if f.verdict != again || tries == maxTries || s.ctx.Err() != nil {
			return a, err
		}
		timer := time.NewTimer(max(pause, f.after))
		select {
		case <-timer.C:
		case <-s.ctx.Done():
			timer.Stop()
			return a, err
		}
		pause *= 2
	}
}

func (s *Sender) settle(it item, a answer, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= len(it.body)
	if err != nil {
		switch {
		case s.ctx.Err() == nil || !errors.Is(err, context.Canceled) && !errors.Is(err, errLate):
			s.sent.Reason = err.Error()
		case s.sent.Reason == "": // that we gave up is no reason
			s.sent.Reason = errLate.Error()
		}
		s.sent.Failed += it.spans
		return
	}
	a.rejected = min(a.rejected, it.spans)
	s.sent.Taken += it.spans - a.rejected
	s.sent.Failed += a.rejected
	if a.rejected > 0 {
		s.sent.Reason = "rejected by the backend"
	}
}
