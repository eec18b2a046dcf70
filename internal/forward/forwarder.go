package forward

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"forkspan.dev/forkspan/internal/store"
)

// Pauses between tries, and the bounds of what is under way.
const (
	firstPause  = 100 * time.Millisecond // doubles with each failure
	maxPause    = 30 * time.Second       // a fifth more or less is chance
	accessPause = time.Minute            // after a refusal that is about us and not about the request
	slowTimeout = time.Minute            // for one try where the user has set none: nobody waits for the answer
	maxTimeout  = 10 * time.Minute       // what that grows to for a backend that does not answer in time
	window      = 64                     // requests that are read and not settled, at most
	maxRefused  = 10                     // refusals in a row that look as if everything will be refused
)

// ErrBusy says that another process forwards the same run to the same target at the moment.
var ErrBusy = errors.New("another forkspan is sending this")

// Options of Open.
type Options struct {
	Settings
	Run      string           // whose requests are sent; "" for those without a run that come from now on
	Dead     bool             // send all dead letters again, not only those that other credentials may revive
	Adopt    bool             // Resume: send with the headers and the certificate that are set, whatever they were before
	Reserved *Reservation     // for the same run and target, which the forwarder then has, or a failed Open gives up; may be nil
	Pace     *Pace            // of the forwarders to the same backend before, and for those to come; may be nil
	Notify   func(msg string) // told once what the user should know; may be nil

	resumed bool // the run has ended before
}

// Stats counts spans since Open.
type Stats struct {
	Sent     int64     // taken by the backend
	Rejected int64     // turned down by the backend when it took the others
	Dead     int64     // refused for good, kept as dead letters
	Local    int64     // left out: recorded only, unfinished, or not chosen by the user's sampler
	Waiting  int64     // not sent yet; only what Drain and Close return has it
	Unended  bool      // what goes out at the run's end has not, or not all; as Waiting
	Removed  int64     // requests that the store has removed before they were sent; as Waiting
	Reason   string    // of the last failure, or of the last rejection; empty when all is well
	Failing  bool      // the last try failed
	Next     time.Time // when the next try is made while Failing
}

// Add adds the counts of another forwarder.
func (s *Stats) Add(o Stats) {
	s.Sent += o.Sent
	s.Rejected += o.Rejected
	s.Dead += o.Dead
	s.Local += o.Local
	s.Waiting += o.Waiting
	s.Unended = s.Unended || o.Unended
	s.Removed += o.Removed
	if o.Reason != "" {
		s.Reason = o.Reason
	}
	if o.Failing {
		s.Failing, s.Next = true, o.Next
	}
}

// Forwarder sends the requests of one run to one backend. It is safe for concurrent use.
type Forwarder struct {
	store   *store.Store
	route   store.Route
	options Options
	unlock  func()

	wake   chan struct{} // of size 1
	over   atomic.Bool   // nothing comes any more
	failed atomic.Bool   // nor will the store be told all of the run
	drain  chan drainage
	cancel context.CancelFunc
	done   chan struct{} // closed when the loop has ended

	mu    sync.Mutex
	stats Stats
	left  int64 // spans of the run's end that are not settled
}

// drainage asks the loop to say when nothing is left that can be sent before ctx ends.
type drainage struct {
	ctx  context.Context
	done chan struct{}
}

// Open begins to send the requests of a run to b, from where the last forwarder of that run and target has come to, in the
// background. Close ends it. ErrBusy when another process is at it.
func Open(ctx context.Context, st *store.Store, b *Backend, opts Options) (*Forwarder, error) {
	route, err := st.PutRoute(ctx, opts.Run, b.Target(), opts.Settings.encode(), opts.Settings.finishing())
	if err != nil {
		if opts.Reserved != nil {
			opts.Reserved.unlock()
		}
		return nil, err
	}
	return openRoute(ctx, st, route, b, opts)
}

// Reservation is a run's way to a target before a forwarder goes it. A process that ends gives it up.
type Reservation struct {
	store  *store.Store
	route  int64
	unlock func()
}

// Reserve writes down that the requests of a run go to b, so that a later forkspan sends them even if nobody comes to Open a
// forwarder for them now, and keeps others from sending them until then.
func Reserve(ctx context.Context, st *store.Store, b *Backend, run string, settings Settings) (*Reservation, error) {
	route, err := st.PutRoute(ctx, run, b.Target(), settings.encode(), settings.finishing())
	if err != nil {
		return nil, err
	}
	return reserve(st, route.ID)
}

func reserve(st *store.Store, route int64) (*Reservation, error) {
	unlock, ok, err := st.LockRoute(route)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, ErrBusy
	}
	return &Reservation{st, route, unlock}, nil
}

// Release takes the reservation back, for a run that has not come about.
func (r *Reservation) Release(ctx context.Context) error {
	defer r.unlock()
	return r.store.DropRoute(ctx, r.route)
}

// openRoute gives opts.Reserved up when it fails.
func openRoute(ctx context.Context, st *store.Store, route store.Route, b *Backend, opts Options) (*Forwarder, error) {
	t, err := newTransport(b)
	if err != nil {
		if opts.Reserved != nil {
			opts.Reserved.unlock()
		}
		return nil, fmt.Errorf("forward to %s: %w", b.Name(), err)
	}
	f, err := open(ctx, st, route, b, t, opts)
	if err != nil {
		t.close()
	}
	return f, err
}

func open(ctx context.Context, st *store.Store, route store.Route, b *Backend, t transport, opts Options) (_ *Forwarder, err error) {
	mine := opts.Reserved
	if mine == nil {
		if mine, err = reserve(st, route.ID); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			mine.unlock()
		}
	}()
	if route, err = st.Route(ctx, route.ID); err != nil { // another may have moved it before it gave the lock up
		return nil, err
	}
	if opts.Run == "" && !opts.resumed {
		if err = st.TakeOver(ctx, route.ID); err != nil {
			return nil, err
		}
	}
	f := &Forwarder{
		store: st, route: route, options: opts, unlock: mine.unlock,
		wake: make(chan struct{}, 1), drain: make(chan drainage), done: make(chan struct{}),
	}
	var all context.Context
	all, f.cancel = context.WithCancel(context.Background())
	l := newLoop(f, b, t)
	go func() {
		defer close(f.done)
		l.run(all)
	}()
	return f, nil
}

// Wake tells that requests have been stored. It never waits.
func (f *Forwarder) Wake() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Finish tells that the run is over: the next Drain sends what Settings has for its end. whole tells that the store has all of
// the run; where another took over, that other's forwarder is who sends the spans of its processes.
func (f *Forwarder) Finish(whole bool) {
	f.failed.Store(!whole)
	f.over.Store(true)
}

// Stats returns the counts so far.
func (f *Forwarder) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}

// Drain waits until everything that was stored before has been settled, or ctx ends, or nothing more can be sent before ctx
// ends. What is left is counted as Waiting.
func (f *Forwarder) Drain(ctx context.Context) Stats {
	d := drainage{ctx, make(chan struct{})}
	select {
	case f.drain <- d:
		select {
		case <-d.done:
		case <-ctx.Done():
		case <-f.done:
		}
	case <-ctx.Done():
	case <-f.done:
	}
	return f.withWaiting()
}

// Close stops sending and gives the run up to other forkspans. What was under way is sent again by the next one.
func (f *Forwarder) Close() Stats {
	f.cancel()
	<-f.done
	stats := f.withWaiting()
	f.unlock()
	return stats
}

// withWaiting counts what the store holds for the target beyond what has been settled.
func (f *Forwarder) withWaiting() Stats {
	stats := f.Stats()
	ctx := context.Background()
	route, err := f.store.Route(ctx, f.route.ID)
	if err == nil {
		stats.Unended = route.Finishing && f.over.Load()
		stats.Removed = route.Removed - f.route.Removed
		_, stats.Waiting, err = f.store.Unsent(ctx, route)
		f.mu.Lock()
		stats.Waiting += f.left
		f.mu.Unlock()
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		stats.Reason = err.Error()
	}
	return stats
}

// count changes the counts.
func (f *Forwarder) count(change func(s *Stats)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.stats)
}

func (f *Forwarder) notify(format string, args ...any) {
	if f.options.Notify != nil {
		f.options.Notify(fmt.Sprintf(format, args...))
	}
}
