package forkspan

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"forkspan.dev/forkspan/journal"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// batchLimits are the OTEL_BSP_* settings.
type batchLimits struct {
	delay   time.Duration // the longest that a span waits for its export
	timeout time.Duration // of one export
	queue   int           // spans that wait at most
	batch   int           // spans in one export at most
}

// batcher is the span processor in front of the exporter. OpenTelemetry's own keeps the number of spans it drops to
// itself, and goes on exporting in the background when its Shutdown has returned at the deadline.
type batcher struct {
	exporter sdktrace.SpanExporter // nil: spans are only counted
	journal  *journal.Writer       // of the run we are in, and takes spans instead of the exporter while it can; nil without
	limits   batchLimits
	onError  func(error)

	started atomic.Uint64

	mu       sync.Mutex
	queue    []sdktrace.ReadOnlySpan
	inFlight int // spans of the export that is under way
	gaveUp   bool
	stopped  bool
	deadline time.Time // of Shutdown, when it has one; exports that start after it was called keep to it
	total    Stats     // without Started and the fields that follow from others

	wake   chan struct{} // capacity 1: there is a batch
	flush  chan chan error
	stop   chan struct{} // closed by Shutdown
	done   chan struct{} // closed when the worker has ended, the exporter being shut down
	ctx    context.Context
	cancel context.CancelFunc // ends exports

	lastReport time.Time // of an error; used by the worker only
	final      error     // of the exports after stop; read after done
}

// reportEvery is the least time between two reports of failed exports.
const reportEvery = time.Minute

func newBatcher(e sdktrace.SpanExporter, j *journal.Writer, limits batchLimits, onError func(error)) *batcher {
	b := &batcher{
		exporter: e,
		journal:  j,
		limits:   limits,
		onError:  onError,
		wake:     make(chan struct{}, 1),
		flush:    make(chan chan error),
		stop:     make(chan struct{}),
		done:     make(chan struct{}),
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	if e == nil {
		close(b.done)
		return b
	}
	b.queue = make([]sdktrace.ReadOnlySpan, 0, min(limits.queue, sdktrace.DefaultMaxQueueSize))
	go b.run()
	return b
}

// OnStart counts the span, and notes it in the journal.
func (b *batcher) OnStart(ctx context.Context, s sdktrace.ReadWriteSpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	b.started.Add(1)
	if b.journal != nil {
		b.journal.OnStart(ctx, s)
	}
}

// OnEnd hands the span to the journal, or else queues it, or drops it when the queue is full.
func (b *batcher) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	kept := b.journal != nil && b.journal.Record(s) == nil
	b.mu.Lock()
	b.total.Ended++
	n := 0
	switch {
	case kept:
		b.total.Exported++
	case b.exporter == nil && b.journal == nil:
	case b.stopped:
		b.total.AfterShutdown++
	case b.exporter == nil:
		b.total.Failed++
	case len(b.queue) >= b.limits.queue:
		b.total.QueueFull++
	default:
		b.queue = append(b.queue, s)
		n = len(b.queue)
	}
	b.mu.Unlock()
	if n == b.limits.batch {
		b.signal()
	}
}

// signal tells the worker that there is a batch.
func (b *batcher) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *batcher) run() {
	defer close(b.done)
	defer b.cancel()
	timer := time.NewTimer(b.limits.delay)
	defer timer.Stop()
	buf := make([]sdktrace.ReadOnlySpan, 0, min(b.limits.batch, sdktrace.DefaultMaxQueueSize))
	for {
		select {
		case <-b.wake:
			b.export(buf)
			if b.waiting() >= b.limits.batch {
				b.signal() // and not a loop here, which a busy program could keep from ever seeing stop
			}
		case <-timer.C:
			b.drain(buf)
		case result := <-b.flush:
			result <- b.drain(buf)
		case <-b.stop:
			b.final = b.drain(buf)
			if err := guard(func() error { return b.exporter.Shutdown(b.ctx) }); err != nil && b.final == nil {
				b.final = fmt.Errorf("shut down exporter: %w", err)
			}
			return
		}
		timer.Reset(b.limits.delay)
	}
}

func (b *batcher) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue)
}

// drain exports what is queued now, in batches, and returns the first error.
func (b *batcher) drain(buf []sdktrace.ReadOnlySpan) error {
	var first error
	for left := b.waiting(); left > 0 && b.ctx.Err() == nil; left -= b.limits.batch {
		if err := b.export(buf); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// export sends one batch and does its account.
func (b *batcher) export(buf []sdktrace.ReadOnlySpan) error {
	b.mu.Lock()
	n := min(len(b.queue), b.limits.batch)
	spans := append(buf[:0], b.queue[:n]...)
	rest := copy(b.queue, b.queue[n:])
	clear(b.queue[rest:])
	b.queue = b.queue[:rest]
	b.inFlight = n
	deadline := time.Now().Add(b.limits.timeout)
	if !b.deadline.IsZero() && b.deadline.Before(deadline) {
		deadline = b.deadline
	}
	b.mu.Unlock()
	if n == 0 {
		return nil
	}

	var a answer
	ctx, cancel := context.WithDeadline(withAnswer(b.ctx, &a), deadline)
	err := guard(func() error { return b.exporter.ExportSpans(ctx, spans) })
	cancel()
	clear(spans)

	b.mu.Lock()
	b.inFlight = 0
	if !b.gaveUp {
		switch {
		case err == nil || a.taken:
			failed := min(a.failed, n)
			rejected := min(a.rejected, n-failed)
			b.total.Failed += uint64(failed)
			b.total.Rejected += uint64(rejected)
			b.total.Exported += uint64(n - failed - rejected)
		default:
			b.total.Failed += uint64(n)
		}
	}
	lost := b.total.Lost()
	b.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("export %d spans: %w", n, err)
		b.report(err, lost)
	}
	return err
}

// guard keeps a panic of an exporter or a processor from ending the program.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return f()
}

func (b *batcher) report(err error, lost uint64) {
	if now := time.Now(); now.Sub(b.lastReport) >= reportEvery {
		b.lastReport = now
		b.onError(fmt.Errorf("%w (%d spans lost so far)", err, lost))
	}
}

// ForceFlush exports everything that ended before the call, and returns the first error.
func (b *batcher) ForceFlush(ctx context.Context) error {
	if b.exporter == nil {
		return nil
	}
	result := make(chan error, 1)
	select {
	case b.flush <- result:
	case <-b.stop:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("flush spans: %w", ctx.Err())
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return fmt.Errorf("flush spans: %w", ctx.Err())
	}
}

// Shutdown exports what is queued until ctx is done; what has not gone out by then is counted as lost, and the export
// under way is cancelled. Later spans are dropped and counted.
func (b *batcher) Shutdown(ctx context.Context) error {
	b.mu.Lock()
	again := b.stopped
	b.stopped = true
	b.deadline, _ = ctx.Deadline()
	before := b.total.Lost()
	b.mu.Unlock()
	if !again && b.journal != nil {
		_ = b.journal.Shutdown(ctx) // never fails
	}
	if again || b.exporter == nil {
		return nil
	}
	close(b.stop)
	select {
	case <-b.done:
		if deadline, ok := ctx.Deadline(); ok && b.final != nil && !time.Now().Before(deadline) {
			return fmt.Errorf("%w: %w", context.DeadlineExceeded, b.final)
		}
		return b.final
	case <-ctx.Done():
	}
	b.mu.Lock()
	b.gaveUp = true
	b.total.Failed += uint64(b.inFlight)
	b.total.AfterShutdown += uint64(len(b.queue))
	clear(b.queue)
	b.queue = b.queue[:0]
	lost := b.total.Lost() - before
	b.mu.Unlock()
	b.cancel()
	if lost == 0 {
		return nil
	}
	return fmt.Errorf("%d spans not exported in time: %w", lost, context.Cause(ctx))
}

func (b *batcher) stats() Stats {
	b.mu.Lock()
	s := b.total
	if !b.gaveUp {
		s.Queued = uint64(b.inFlight + len(b.queue))
	}
	b.mu.Unlock()
	// Read last, so that no span can have ended that is not counted as started.
	s.Started = b.started.Load()
	s.Unfinished = s.Started - s.Ended
	return s
}
