package demo

import (
	"context"
	"net"
	"net/http"
	"sync"

	"forkspan.dev/forkspan"
)

// serve is the API server: it starts the engine, answers the requests of the users who wait at an address, and ends when the
// engine is lost.
func (p *Process) serve(ctx context.Context, users string) error {
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

	if err := tellUsers(users, listener.Addr().String()); err != nil {
		return err
	}
	p.logf("answered %d requests", requestCount)
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

// generate has the engine answer a request. The channel is closed after the answer's last message, or when the engine has gone.
func (f *frontEnd) generate(headers map[string]string) (id int, answer <-chan message, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	ch := make(chan message, mostTokens+1)
	f.waiting[f.last] = ch
	return f.last, ch, f.engine.send(message{Op: "generate", ID: f.last, Headers: headers})
}

// readAnswers hands the engine's messages to those who wait, until the engine has gone.
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
			if m.Op == "done" {
				close(ch)
				delete(f.waiting, m.ID)
			}
		}
		f.mu.Unlock()
	}
}
