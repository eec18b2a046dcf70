package forkspantest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
)

// ModelServer is a fake LLM server. It answers each request with the next queued [Reply]; when none is queued, as a server
// whose model says "Hello, world!": chat and text completions in one piece or as a stream, with usage where the client asks
// for it; GET /health and /v1/models; 404 for everything else. It is safe for concurrent use.
type ModelServer struct {
	listener net.Listener
	server   *http.Server
	served   chan struct{} // closed when Serve has returned
	closing  chan struct{} // closed by Close
	once     sync.Once
	handlers sync.WaitGroup
	strict   bool
	observe  func(*http.Request, []byte)

	mu          sync.Mutex
	closed      bool
	queue       []Reply
	fallback    *Reply
	keep        bool
	requests    []ModelRequest
	finished    int
	gone        int
	connections map[net.Conn]struct{}
	changes     signal
}

// ModelRequest is one request that a [ModelServer] was sent.
type ModelRequest struct {
	Method string
	Path   string // with the query
	Host   string
	Header http.Header
	Body   []byte
}

// ModelServerOption configures a [ModelServer].
type ModelServerOption interface{ applyModel(*ModelServer) }

type modelServerOptionFunc func(*ModelServer)

func (f modelServerOptionFunc) applyModel(s *ModelServer) { f(s) }

// WithStrict makes the server answer 400 to a request with stream_options, as servers do that know no such field.
func WithStrict() ModelServerOption {
	return modelServerOptionFunc(func(s *ModelServer) { s.strict = true })
}

// WithObserver calls f with each request and its body before it is answered, on the goroutine that answers it.
func WithObserver(f func(r *http.Request, body []byte)) ModelServerOption {
	return modelServerOptionFunc(func(s *ModelServer) { s.observe = f })
}

// WithoutRequests keeps no requests, for load that would fill the memory: [ModelServer.Requests] stays empty.
func WithoutRequests() ModelServerOption {
	return modelServerOptionFunc(func(s *ModelServer) { s.keep = false })
}

// NewModelServer starts a server on loopback and closes it when the test ends. It fails the test when it cannot.
func NewModelServer(t testing.TB, opts ...ModelServerOption) *ModelServer {
	t.Helper()
	s, err := StartModelServer(opts...)
	if err != nil {
		t.Fatalf("start model server: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// StartModelServer starts a server where there is no test to clean up after it: the caller must call Close.
func StartModelServer(opts ...ModelServerOption) (*ModelServer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen on loopback: %w", err)
	}
	s := &ModelServer{
		listener:    listener,
		served:      make(chan struct{}),
		closing:     make(chan struct{}),
		keep:        true,
		connections: map[net.Conn]struct{}{},
	}
	for _, o := range opts {
		o.applyModel(s)
	}
	s.server = &http.Server{
		Handler:   http.HandlerFunc(s.serve),
		ConnState: s.connState,
		ErrorLog:  log.New(io.Discard, "", 0), // connections that are cut are the test's business
	}
	go func() {
		defer close(s.served)
		_ = s.server.Serve(listener) // always returns an error, when closed
	}()
	return s, nil
}

// URL is the server's address, without a path.
func (s *ModelServer) URL() string { return "http://" + s.listener.Addr().String() }

// Close cuts what is under way and returns when nothing of the server is left.
func (s *ModelServer) Close() {
	s.once.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		close(s.closing)
		_ = s.server.Close()
		<-s.served
		s.handlers.Wait()
	})
}

// Reply queues replies: each of the next requests takes one.
func (s *ModelServer) Reply(replies ...Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, replies...)
}

// ReplyAll sets the reply of all requests for which none is queued.
func (s *ModelServer) ReplyAll(r Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fallback = &r
}

// Requests returns the requests so far, in the order in which they had arrived with their bodies.
func (s *ModelServer) Requests() []ModelRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// WaitRequests waits until n requests have arrived and returns all that have.
func (s *ModelServer) WaitRequests(ctx context.Context, n int) ([]ModelRequest, error) {
	err := s.wait(ctx, func() bool { return len(s.requests) >= n })
	return s.Requests(), err
}

// WaitFinished waits until n requests have been answered, completely or not.
func (s *ModelServer) WaitFinished(ctx context.Context, n int) error {
	return s.wait(ctx, func() bool { return s.finished >= n })
}

// WaitGone waits until the clients of n requests have left before their answer was complete.
func (s *ModelServer) WaitGone(ctx context.Context, n int) error {
	return s.wait(ctx, func() bool { return s.gone >= n })
}

// WaitNoConnections waits until no client is connected.
func (s *ModelServer) WaitNoConnections(ctx context.Context) error {
	return s.wait(ctx, func() bool { return len(s.connections) == 0 })
}

// wait waits until done, which is called with the lock held.
func (s *ModelServer) wait(ctx context.Context, done func() bool) error {
	for {
		changed := s.changes.next()
		s.mu.Lock()
		ok := done()
		seen := fmt.Sprintf("%d requests, %d finished, %d left by their client, %d connections",
			len(s.requests), s.finished, s.gone, len(s.connections))
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for the model server, which saw %s: %w", seen, ctx.Err())
		}
	}
}

func (s *ModelServer) connState(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	switch state {
	case http.StateNew:
		s.connections[c] = struct{}{}
	case http.StateClosed, http.StateHijacked:
		delete(s.connections, c)
	}
	s.mu.Unlock()
	s.changes.fire()
}

func (s *ModelServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.handlers.Add(1)
	}
	s.mu.Unlock()
	if closed {
		panic(http.ErrAbortHandler)
	}
	defer s.handlers.Done()

	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if s.observe != nil {
		s.observe(r, body)
	}
	err = s.take(r, body).play(w, r, s.closing)
	s.mu.Lock()
	s.finished++
	if errors.Is(err, errClientLeft) {
		s.gone++
	}
	s.mu.Unlock()
	s.changes.fire()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

// take records a request and returns the reply it gets.
func (s *ModelServer) take(r *http.Request, body []byte) Reply {
	defer s.changes.fire()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keep {
		s.requests = append(s.requests, ModelRequest{
			Method: r.Method, Path: r.URL.RequestURI(), Host: r.Host, Header: r.Header.Clone(), Body: body,
		})
	}
	asked := readAsked(body)
	switch {
	case s.strict && asked.Options != nil:
		return ErrorReply(http.StatusBadRequest, "Unrecognized request argument: stream_options")
	case len(s.queue) > 0:
		reply := s.queue[0]
		s.queue = s.queue[1:]
		return reply
	case s.fallback != nil:
		return *s.fallback
	}
	return defaultReply(r, asked)
}
