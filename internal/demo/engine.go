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
	"forkspan.dev/forkspan/genai"
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
			err := generate(m, func(m message) error {
				sending.Lock()
				defer sending.Unlock()
				return front.send(m)
			})
			if err != nil {
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

// mostTokens is how long the longest answer is.
const mostTokens = 24 + 3*16

// generate answers a request, token by token, and records it when it is over, as vLLM does: with explicit times and in the
// caller's trace.
func generate(m message, send func(message) error) error {
	ctx := forkspan.Extract(context.Background(), propagation.MapCarrier(m.Headers))
	arrived := time.Now()
	time.Sleep(8 * time.Millisecond)
	scheduled := time.Now()
	time.Sleep(time.Duration(40+10*(m.ID%3)) * time.Millisecond)
	var first, last time.Time
	tokens := 24 + 16*(m.ID%4)
	for i := range tokens {
		if i > 0 {
			time.Sleep(3 * time.Millisecond)
		}
		if err := send(message{Op: "token", ID: m.ID, Text: "word "}); err != nil {
			return err
		}
		if last = time.Now(); i == 0 {
			first = last
		}
	}
	seconds := func(name string, d time.Duration) attribute.KeyValue { return attribute.Float64(name, d.Seconds()) }
	ctx = forkspan.Record(ctx, "llm_request", arrived, last, forkspan.RecordKind(trace.SpanKindServer),
		forkspan.RecordAttributes(
			attribute.String("gen_ai.response.model", modelName),
			attribute.String(genai.AttrVLLMRequestID, completionID(m.ID)),
			attribute.Int(genai.AttrVLLMPromptTokens, promptTokens),
			attribute.Int(genai.AttrVLLMCompletionTokens, tokens),
			seconds(genai.AttrVLLMQueue, scheduled.Sub(arrived)),
			seconds(genai.AttrVLLMTimeToFirstToken, first.Sub(arrived)),
			seconds(genai.AttrVLLMPrefill, first.Sub(scheduled)),
			seconds(genai.AttrVLLMDecode, last.Sub(first)),
			seconds(genai.AttrVLLMInference, last.Sub(scheduled)),
			seconds(genai.AttrVLLME2E, last.Sub(arrived))))
	forkspan.Record(ctx, "prefill", scheduled, first)
	forkspan.Record(ctx, "decode", first, last)
	return send(message{Op: "done", ID: m.ID, Tokens: tokens})
}
