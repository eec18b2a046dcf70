package demo

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"forkspan.dev/forkspan"
)

// completionsPath is what the server answers.
const completionsPath = "/v1/completions"

// serve is the API server: it starts the engine, answers requests, and ends when the engine is lost.
func (p *Process) serve(ctx context.Context) error {
	front := &frontEnd{waiting: make(map[int]chan message)}
	var listener net.Listener
	err := phase(ctx, "Overall Loading", 0,
		part("Read configuration", 60),
		part("Load tokenizer", 240),
		func(ctx context.Context) error {
			return forkspan.Do(ctx, "AsyncMPClient init", func(ctx context.Context) (err error) {
				if front.engine, err = start(p.child(ctx, "engine-core")); err != nil {
					return err
				}
				return front.engine.expect("ready")
			})
		},
		func(ctx context.Context) error {
			return forkspan.Do(ctx, "Start HTTP server", func(context.Context) (err error) {
				listener, err = net.Listen("tcp", "127.0.0.1:0")
				return err
			})
		})
	if err != nil {
		return err
	}
	go front.readAnswers()
	server := &http.Server{Handler: front}
	go server.Serve(listener)
	p.logf("ready on http://%s", listener.Addr())

	if err := p.sendRequests(ctx, listener.Addr().String()); err != nil {
		return err
	}
	if err := front.send(message{Op: "fail"}); err != nil {
		return err
	}
	err = front.engine.cmd.Wait()
	p.logf("the engine core has ended: %v", err)
	if closeErr := server.Close(); closeErr != nil {
		return closeErr
	}
	return err
}

// sendRequests starts a client and waits until it has had its answers. It is no part of the server: it gets no span.
func (p *Process) sendRequests(ctx context.Context, address string) error {
	client := exec.CommandContext(ctx, p.Program, Command, "client", "http://"+address+completionsPath)
	client.Stderr = nil
	if err := client.Run(); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	p.logf("answered %d requests", requestCount)
	return nil
}

// frontEnd takes requests and has the engine answer them.
type frontEnd struct {
	engine *link

	mu      sync.Mutex
	last    int
	waiting map[int]chan message
}

func (f *frontEnd) send(m message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.engine.send(m)
}

// readAnswers hands the engine's answers to those who wait, until the engine has gone.
func (f *frontEnd) readAnswers() {
	for {
		m, err := f.engine.receive()
		f.mu.Lock()
		if err != nil {
			for id, ch := range f.waiting {
				close(ch)
				delete(f.waiting, id)
			}
			f.mu.Unlock()
			return
		}
		if ch := f.waiting[m.ID]; ch != nil {
			ch <- m
			delete(f.waiting, m.ID)
		}
		f.mu.Unlock()
	}
}

// ServeHTTP continues the caller's trace, and hands it on to the engine.
func (f *frontEnd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := forkspan.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := forkspan.StartWith(ctx, "POST "+completionsPath, trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", r.Method), attribute.String("url.path", r.URL.Path)))
	defer forkspan.End(span, nil)
	headers := propagation.MapCarrier{}
	otel.GetTextMapPropagator().Inject(ctx, headers)

	answer := make(chan message, 1)
	f.mu.Lock()
	f.last++
	m := message{Op: "generate", ID: f.last, Headers: headers}
	f.waiting[m.ID] = answer
	f.mu.Unlock()
	if err := f.send(m); err != nil {
		http.Error(w, "the engine is gone", http.StatusServiceUnavailable)
		return
	}
	if m, ok := <-answer; ok {
		fmt.Fprintf(w, "{\"usage\":{\"completion_tokens\":%d}}\n", m.Tokens)
		return
	}
	http.Error(w, "the engine is gone", http.StatusServiceUnavailable)
}
