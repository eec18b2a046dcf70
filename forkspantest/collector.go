package forkspantest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

// Collector is a fake OpenTelemetry collector. It takes OTLP/gRPC, and OTLP/HTTP in protobuf and JSON at /v1/traces, all on one
// loopback port, with gzip where the client uses it. Other paths are answered 404, as a collector does. It is safe for
// concurrent use.
type Collector struct {
	listener net.Listener
	server   *http.Server
	served   chan struct{} // closed when Serve has returned
	closing  chan struct{} // closed by Close
	once     sync.Once
	handlers sync.WaitGroup
	files    *certificates // nil without TLS

	mu       sync.Mutex
	closed   bool // no handler begins any more
	queue    []Answer
	fallback Answer
	requests []Request
	spans    []Span
	changes  signal
}

// Request is one export request that a [Collector] was sent.
type Request struct {
	Protocol    string // "grpc", "http/protobuf" or "http/json"
	Path        string
	Header      http.Header // gRPC metadata too, in canonical HTTP spelling
	Compression string      // "gzip" or empty
	Bytes       int         // of the message as sent
	Spans       []Span
	Err         error  // why the message could not be decoded
	Answer      Answer // what the client was told; its Status is 404 or 400 for requests that no collector takes
	Client      string // common name of the client's certificate; empty without one
}

// CollectorOption configures a [Collector].
type CollectorOption interface{ apply(*settings) }

type settings struct{ tls, clientAuth bool }

type optionFunc func(*settings)

func (f optionFunc) apply(s *settings) { f(s) }

// WithTLS makes the collector speak TLS, with a certificate for 127.0.0.1, ::1 and localhost that is signed by the authority in
// [Collector.CAFile].
func WithTLS() CollectorOption { return optionFunc(func(s *settings) { s.tls = true }) }

// WithClientAuth is [WithTLS], and clients must show a certificate of the same authority, such as [Collector.ClientCertFile].
func WithClientAuth() CollectorOption {
	return optionFunc(func(s *settings) { s.tls, s.clientAuth = true, true })
}

// NewCollector starts a collector and closes it when the test ends. It fails the test when it cannot.
func NewCollector(t testing.TB, opts ...CollectorOption) *Collector {
	t.Helper()
	c, err := StartCollector(opts...)
	if err != nil {
		t.Fatalf("start collector: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

// StartCollector starts a collector where there is no test to clean up after it: the caller must call Close.
func StartCollector(opts ...CollectorOption) (*Collector, error) {
	var s settings
	for _, o := range opts {
		o.apply(&s)
	}
	c := &Collector{served: make(chan struct{}), closing: make(chan struct{})}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	c.server = &http.Server{
		Handler:   http.HandlerFunc(c.serve),
		Protocols: &protocols,
		ErrorLog:  log.New(io.Discard, "", 0), // refused handshakes are the test's business
	}
	if s.tls {
		files, config, err := newCertificates(s.clientAuth)
		if err != nil {
			return nil, fmt.Errorf("make certificates: %w", err)
		}
		c.files, c.server.TLSConfig = files, config
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.removeFiles()
		return nil, fmt.Errorf("listen on loopback: %w", err)
	}
	c.listener = listener
	go func() {
		defer close(c.served)
		if c.files != nil {
			_ = c.server.ServeTLS(listener, "", "")
			return
		}
		_ = c.server.Serve(listener)
	}()
	return c, nil
}

// Close stops the collector: answers under way are cut, connections closed. What was received stays readable. A second call
// does nothing.
func (c *Collector) Close() {
	c.once.Do(func() {
		c.mu.Lock()
		c.closed = true
		c.mu.Unlock()
		close(c.closing)
		_ = c.server.Close()
		<-c.served
		c.handlers.Wait()
		c.removeFiles()
	})
}

func (c *Collector) removeFiles() {
	if c.files != nil {
		_ = os.RemoveAll(c.files.dir)
	}
}

// Addr is the collector's address as host:port.
func (c *Collector) Addr() string { return c.listener.Addr().String() }

// Endpoint is the collector's address for OTEL_EXPORTER_OTLP_ENDPOINT: http://host:port, or https with TLS.
func (c *Collector) Endpoint() string {
	if c.files != nil {
		return "https://" + c.Addr()
	}
	return "http://" + c.Addr()
}

// TracesEndpoint is the address for OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, with the path that OTLP/HTTP needs there.
func (c *Collector) TracesEndpoint() string { return c.Endpoint() + tracesPath }

// CAFile is the PEM file of the authority that signed the collector's certificate; empty without TLS.
func (c *Collector) CAFile() string { return c.files.path("ca.pem") }

// ClientCertFile is the PEM file of a certificate that the collector accepts from a client; empty without TLS.
func (c *Collector) ClientCertFile() string { return c.files.path("client.pem") }

// ClientKeyFile is the PEM file of the key that belongs to ClientCertFile; empty without TLS.
func (c *Collector) ClientKeyFile() string { return c.files.path("client-key.pem") }

// ClientTLS is the configuration of a client that trusts the collector and shows it a certificate; nil without TLS.
func (c *Collector) ClientTLS() *tls.Config {
	if c.files == nil {
		return nil
	}
	return c.files.client.Clone()
}

// Answer queues answers: each of the next requests takes one. Requests after those are accepted, or treated as
// [Collector.AnswerAll] says.
func (c *Collector) Answer(answers ...Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, answers...)
}

// AnswerAll sets the answer of all requests for which none is queued.
func (c *Collector) AnswerAll(a Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fallback = a
}

// Requests returns the requests so far, in the order in which they arrived.
func (c *Collector) Requests() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests)
}

// Spans returns the spans of the accepted requests, in the order in which they arrived.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Find returns the first accepted span of that name, and whether there is one.
func (c *Collector) Find(name string) (Span, bool) {
	for _, s := range c.Spans() {
		if s.GetName() == name {
			return s, true
		}
	}
	return Span{}, false
}

// Tree draws the accepted spans as [Recorder.Tree] does.
func (c *Collector) Tree(keys ...string) string { return Tree(c.Spans(), keys...) }

// WaitSpans waits until n spans were accepted and returns all that were. When ctx ends first, the error says how many there
// were.
func (c *Collector) WaitSpans(ctx context.Context, n int) ([]Span, error) {
	var spans []Span
	err := c.wait(ctx, func() (done bool, seen string) {
		spans = c.Spans()
		return len(spans) >= n, fmt.Sprintf("wait for %d spans, %d were accepted", n, len(spans))
	})
	return spans, err
}

// WaitRequests waits until n requests have arrived, whatever they are answered, and returns all that have. A request that is
// held back or delayed counts. When ctx ends first, the error says how many there were.
func (c *Collector) WaitRequests(ctx context.Context, n int) ([]Request, error) {
	var requests []Request
	err := c.wait(ctx, func() (done bool, seen string) {
		requests = c.Requests()
		return len(requests) >= n, fmt.Sprintf("wait for %d requests, %d have arrived", n, len(requests))
	})
	return requests, err
}

var errClosed = errors.New("collector closed")

func (c *Collector) wait(ctx context.Context, look func() (done bool, seen string)) error {
	for {
		changed := c.changes.next()
		done, seen := look()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", seen, ctx.Err())
		case <-c.closing:
			return fmt.Errorf("%s: %w", seen, errClosed)
		}
	}
}

// take records a request and returns the answer it gets. refusal is an answer that is due whatever was asked for.
func (c *Collector) take(r Request, refusal *Answer) Answer {
	defer c.changes.fire()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case refusal != nil:
		r.Answer = *refusal
	case len(c.queue) > 0:
		r.Answer, c.queue = c.queue[0], c.queue[1:]
	default:
		r.Answer = c.fallback
	}
	c.requests = append(c.requests, r)
	return r.Answer
}

// keep adds the spans of an accepted request.
func (c *Collector) keep(spans []Span, a Answer) {
	if !a.accepts() {
		return
	}
	defer c.changes.fire()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans = append(c.spans, spans[:max(0, len(spans)-a.Rejected)]...)
}

// Tree draws spans as [Recorder.Tree] does.
func Tree(spans []Span, keys ...string) string {
	var nodes []*node
	for _, s := range spans {
		nodes = append(nodes, s.node())
	}
	return drawTree(nodes, keys)
}

// TraceIDs returns the distinct trace ids of spans, in the order of their first span.
func TraceIDs(spans []Span) []trace.TraceID {
	var ids []trace.TraceID
	for _, s := range spans {
		if id := trace.TraceID(s.GetTraceId()); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}
