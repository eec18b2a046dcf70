package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"forkspan.dev/forkspan"
)

const workerCount = 2

// engine is the engine core: it starts the workers, answers requests, and ends with the first worker it loses.
func (p *Process) engine(ctx context.Context) error {
	workers := make([]*link, workerCount)
	err := phase(ctx, "EngineCoreProc init", 40,
		func(ctx context.Context) error {
			return forkspan.Do(ctx, "Executor init", func(ctx context.Context) error { return p.startWorkers(ctx, workers) })
		},
		part("Prepare model", 20,
			part("Profile memory", 180),
			part("Allocate KV cache", 70),
			part("Capture graphs", 330)))
	if err != nil {
		return err
	}
	front := newLink(os.Stdin, os.Stdout)
	if err := front.send(message{Op: "ready"}); err != nil {
		return err
	}
	var sending sync.Mutex
	var requests sync.WaitGroup
	defer requests.Wait()
	for {
		m, err := front.receive()
		switch {
		case errors.Is(err, io.EOF):
			return stopWorkers(workers)
		case err != nil:
			return err
		case m.Op == "fail":
			return p.loseWorker(ctx, workers)
		}
		requests.Go(func() {
			m = generate(m)
			sending.Lock()
			defer sending.Unlock()
			if err := front.send(m); err != nil {
				p.logf("answer: %v", err)
			}
		})
	}
}

func (p *Process) startWorkers(ctx context.Context, workers []*link) (err error) {
	for rank := range workers {
		if workers[rank], err = start(p.child(ctx, "worker", strconv.Itoa(rank))); err != nil {
			return err
		}
	}
	for rank, w := range workers {
		if err := w.expect("ready"); err != nil {
			return fmt.Errorf("Worker_%d: %w", rank, err)
		}
	}
	return nil
}

func stopWorkers(workers []*link) error {
	var errs []error
	for _, w := range workers {
		errs = append(errs, w.finish())
	}
	return errors.Join(errs...)
}

// loseWorker has the last worker fail, and ends the others.
func (p *Process) loseWorker(ctx context.Context, workers []*link) error {
	last := len(workers) - 1
	if err := workers[last].send(message{Op: "fail"}); err != nil {
		return err
	}
	err := forkspan.Do(ctx, "Wait for workers", func(context.Context) error {
		if err := workers[last].cmd.Wait(); err != nil {
			return workerDied{last, err}
		}
		return nil
	})
	p.logf("%v", err)
	return errors.Join(err, stopWorkers(workers[:last]))
}

// workerDied is how the demo's engine core ends.
type workerDied struct {
	rank  int
	cause error
}

func (e workerDied) Error() string { return fmt.Sprintf("Worker_%d died: %v", e.rank, e.cause) }
func (e workerDied) Unwrap() error { return e.cause }

// generate answers a request and records it when it is over, as vLLM does: with explicit times and in the caller's trace.
func generate(m message) message {
	ctx := forkspan.Extract(context.Background(), propagation.MapCarrier(m.Headers))
	arrived := time.Now()
	time.Sleep(8 * time.Millisecond)
	scheduled := time.Now()
	time.Sleep(time.Duration(40+10*(m.ID%3)) * time.Millisecond)
	first := time.Now()
	tokens := 24 + 16*(m.ID%4)
	time.Sleep(time.Duration(tokens) * 3 * time.Millisecond)
	ctx = forkspan.Record(ctx, "llm_request", arrived, time.Time{}, forkspan.RecordKind(trace.SpanKindServer),
		forkspan.RecordAttributes(
			attribute.String("gen_ai.response.model", "demo"),
			attribute.Int("gen_ai.usage.completion_tokens", tokens),
			attribute.Float64("gen_ai.latency.time_in_queue", scheduled.Sub(arrived).Seconds()),
			attribute.Float64("gen_ai.latency.time_to_first_token", first.Sub(arrived).Seconds()),
			attribute.Float64("gen_ai.latency.e2e", time.Since(arrived).Seconds())))
	forkspan.Record(ctx, "prefill", scheduled, first)
	forkspan.Record(ctx, "decode", first, time.Time{})
	return message{Op: "done", ID: m.ID, Tokens: tokens}
}
