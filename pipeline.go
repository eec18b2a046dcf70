package forkspan

import (
	"context"
	"errors"
	"fmt"
	"sync"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// pipeline is all span processors of a tracer as one. The SDK shuts processors down one after the other and leaves out
// those that come after the deadline; here they go at the same time, and none can hold up the others or the program.
type pipeline struct {
	processors []sdktrace.SpanProcessor
	shutdown   sync.Once
}

// OnStart passes the span to each processor, in order.
func (p *pipeline) OnStart(ctx context.Context, s sdktrace.ReadWriteSpan) {
	for _, sp := range p.processors {
		sp.OnStart(ctx, s)
	}
}

// OnEnd passes the span to each processor, in order.
func (p *pipeline) OnEnd(s sdktrace.ReadOnlySpan) {
	for _, sp := range p.processors {
		sp.OnEnd(s)
	}
}

// ForceFlush flushes all processors at once.
func (p *pipeline) ForceFlush(ctx context.Context) error {
	return p.each(ctx, func(sp sdktrace.SpanProcessor) error { return sp.ForceFlush(ctx) })
}

// Shutdown shuts down all processors at once, and returns when ctx is done even if some of them have not. A second call does
// nothing.
func (p *pipeline) Shutdown(ctx context.Context) (err error) {
	p.shutdown.Do(func() {
		err = p.each(ctx, func(sp sdktrace.SpanProcessor) error { return sp.Shutdown(ctx) })
	})
	return err
}

// each calls f with each processor, in goroutines of their own, and waits for ctx at most: past that only for those
// processors that are sure to return.
func (p *pipeline) each(ctx context.Context, f func(sdktrace.SpanProcessor) error) error {
	results := make([]chan error, len(p.processors))
	for i, sp := range p.processors {
		results[i] = make(chan error, 1)
		go func() { results[i] <- guard(func() error { return f(sp) }) }()
	}
	var errs []error
	for i, sp := range p.processors {
		if _, ok := sp.(*batcher); ok {
			errs = append(errs, <-results[i]) // returns when ctx is done, with the account of what was lost
			continue
		}
		select {
		case err := <-results[i]:
			errs = append(errs, err)
		case <-ctx.Done():
			select {
			case err := <-results[i]:
				errs = append(errs, err)
			default:
				errs = append(errs, fmt.Errorf("%T: %w", sp, ctx.Err()))
			}
		}
	}
	return errors.Join(errs...)
}
