package receive

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"forkspan.dev/forkspan/internal/otlp"
)

// Sink takes the requests that arrive. The sender is answered when Append returns; an error is a 503 or UNAVAILABLE to it, so
// that it tries again. The body, a protobuf without malformed spans, belongs to the server: it is valid until Append returns
// and a Sink that needs it longer must copy it. The summary may be kept. Append is called concurrently.
type Sink interface {
	Append(ctx context.Context, body []byte, sum otlp.Summary) error
}

// Bounds on what senders can make the server hold.
const (
	maxRequest     = 64 << 20 // bytes of a request, before and after decompression
	maxInHand      = 32       // requests that are being stored at once; the others wait
	maxConnections = 4096
	maxStreams     = 100              // of an HTTP/2 connection
	maxHeader      = 16 << 10         // bytes
	requestTimeout = 60 * time.Second // for one request, from its header to the answer
	helloTimeout   = 10 * time.Second // for a new connection's first bytes, and for an HTTP/1 request's header
	idleTimeout    = 5 * time.Minute  // for a connection between requests
)

// Options are a server's. The zero value takes what is sent by this user, and by root, on this machine.
type Options struct {
	Token   string // that senders must show, as Authorization: Bearer; empty for none, and then other users are refused
	AnyUser bool   // take connections of other users of this machine
	Host    string // a name by which HTTP senders may call us besides addresses and localhost

	// PassOn takes metrics, logs and profiles, which are refused when it is nil. Its error's status goes to the sender. The
	// body is only lent. It is called concurrently.
	PassOn func(ctx context.Context, other OtherRequest) (answer []byte, err error)
	// Pages answer GET requests to their paths.
	Pages map[string]Page
}

// OtherRequest is an export request for another signal than traces.
type OtherRequest struct {
	Signal string // metrics, logs or profiles
	JSON   bool   // the body, and the answer, are OTLP JSON, else protobuf
	Body   []byte // not compressed
}

// Page is something that a server answers besides OTLP.
type Page struct {
	http.Handler
	Open bool // needs no token
}

// Server receives OTLP/gRPC and OTLP/HTTP on one port.
type Server struct {
	sink    Sink
	options Options
	http    *http.Server
	origin  *http.CrossOriginProtection
	room    room
	inHand  chan struct{} // a place for each request that is being stored

	largeJSON chan struct{} // the place of the one that is being decoded

	http2 http2Conns

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	closed    bool

	requests, spans, rejected, refused, others, passedOn, strangers, unauthorized atomic.Int64
}

// Stats counts what a server has seen. Values only grow, except Connections.
type Stats struct {
	Connections  int64 // open now
	Requests     int64 // trace requests that were read, refused ones among them
	Spans        int64 // acknowledged
	Rejected     int64 // malformed spans, told to the sender by partial success
	Refused      int64 // requests refused as a whole: too large, not OTLP, or not stored
	Slow         int64 // requests that were given up because they arrived more slowly than others while there was no room
	OtherSignals int64 // requests with metrics, logs or profiles
	PassedOn     int64 // those of them that PassOn took
	Strangers    int64 // connections of other users of this machine, which were closed
	Unauthorized int64 // requests without the token, for other hosts, or from web pages
}

// New returns a server that hands what it receives to sink.
func New(sink Sink, options Options) *Server {
	s := &Server{
		sink:    sink,
		options: options,
		origin:  http.NewCrossOriginProtection(),
		inHand:  make(chan struct{}, maxInHand),
		conns:   make(map[*conn]struct{}),

		largeJSON: make(chan struct{}, 1),
		listeners: make(map[net.Listener]struct{}),
	}
	s.http = s.newHTTP()
	return s
}

// Serve accepts connections on l, which it closes, until Shutdown; it then returns nil. It may be called for several listeners.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	if !s.addListener(l) {
		return nil
	}
	defer s.removeListener(l)
	httpConns := newQueue(l.Addr())
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.http.Serve(httpConns) }) // ends when the queue closes or with Shutdown
	defer serving.Wait()
	defer httpConns.Close()

	var greeting sync.WaitGroup
	defer greeting.Wait()
	for {
		raw, err := l.Accept()
		if err != nil {
			if s.isClosed() {
				return nil
			}
			if !outOfDescriptors(err) {
				return fmt.Errorf("accept connection: %w", err)
			}
			time.Sleep(50 * time.Millisecond) // until some connections have closed
			continue
		}
		if !s.admits(raw) {
			raw.Close()
			continue
		}
		c := s.addConn(raw)
		if c == nil {
			raw.Close()
			continue
		}
		greeting.Go(func() {
			if c.isHTTP2() {
				s.serveHTTP2(c)
				return
			}
			httpConns.put(c)
		})
	}
}

// Shutdown stops accepting, lets requests under way finish until ctx ends, then cuts what is left and returns ctx's error. It
// does not wait for a Sink that hangs.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	var errs []error
	for l := range s.listeners {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	for c := range s.conns {
		c.stopGreeting()
	}
	s.mu.Unlock()

	graceful := s.http2.stop()
	err := s.http.Shutdown(ctx)
	if err != nil {
		errs = append(errs, s.http.Close())
	}
	select {
	case <-graceful:
	case <-ctx.Done():
		err = ctx.Err()
		s.http2.cut()
	}
	if err != nil {
		errs = append(errs, fmt.Errorf("shut receiver down: %w", err))
	}
	return errors.Join(errs...)
}

// Stats returns the counts so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	conns := len(s.conns)
	s.mu.Unlock()
	return Stats{
		Connections:  int64(conns),
		Requests:     s.requests.Load(),
		Spans:        s.spans.Load(),
		Rejected:     s.rejected.Load(),
		Refused:      s.refused.Load(),
		Slow:         s.room.evicted.Load(),
		OtherSignals: s.others.Load(),
		PassedOn:     s.passedOn.Load(),
		Strangers:    s.strangers.Load(),
		Unauthorized: s.unauthorized.Load(),
	}
}

// refusal is why a request is not taken: a gRPC code, from which the HTTP status follows, and words for the sender.
type refusal struct {
	code    codes.Code
	message string
}

// accepted is the answer to a request that was taken, perhaps without some malformed spans.
type accepted struct {
	rejected int
	reason   string // why the first of the rejected spans was
}

// message is what the sender is told about the rejected spans; empty when there are none.
func (a accepted) message() string {
	if a.rejected == 0 {
		return ""
	}
	if a.rejected == 1 {
		return "1 malformed span rejected: " + a.reason
	}
	return fmt.Sprintf("%d malformed spans rejected; the first: %s", a.rejected, a.reason)
}

// take scans a request and hands it to the sink. A panic on the way costs the one request: the process may be supervising a
// command that must live on.
func (s *Server) take(ctx context.Context, body []byte) (a accepted, no *refusal) {
	defer func() {
		if p := recover(); p != nil {
			no = &refusal{codes.Internal, fmt.Sprintf("internal error: %v", p)}
		}
	}()
	if !s.enter(ctx) {
		return a, errFull
	}
	defer s.leave()
	clean, sum, rejected, reason, err := otlp.Scan(body)
	if err != nil {
		return a, &refusal{codes.InvalidArgument, err.Error()}
	}
	if sum.Spans > 0 {
		if err := s.sink.Append(ctx, clean, sum); err != nil {
			return a, &refusal{codes.Unavailable, err.Error()}
		}
	}
	s.spans.Add(int64(sum.Spans))
	s.rejected.Add(int64(rejected))
	return accepted{rejected, reason}, nil
}

// enter takes a place for a request; leave gives it back. False when ctx ended while the server was full.
func (s *Server) enter(ctx context.Context) bool {
	select {
	case s.inHand <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Server) leave() { <-s.inHand }

// errTooLarge is the answer to a request over maxRequest.
var errTooLarge = &refusal{codes.ResourceExhausted, fmt.Sprintf("the request is larger than %d MiB", maxRequest>>20)}

// errSlow is the answer to a request that was given up for others.
var errSlow = &refusal{codes.Unavailable, "too many requests at once, and this one arrived too slowly"}

// errLate is the answer to a request that has not arrived in requestTimeout.
var errLate = &refusal{codes.DeadlineExceeded, "the request did not arrive in time"}

// errFull is the answer to a request that waited in vain for others to be done.
var errFull = &refusal{codes.Unavailable, "too many requests at once"}

// otherSignal is the answer to metrics, logs and profiles, whose users mostly have not chosen to send them here.
func otherSignal(name, variable string) string {
	return fmt.Sprintf("forkspan takes traces only, not %s; %s=none stops them", name, variable)
}

// noSignals are those answers.
var noSignals = map[string]*refusal{
	"metrics":  {codes.Unimplemented, otherSignal("metrics", "OTEL_METRICS_EXPORTER")},
	"logs":     {codes.Unimplemented, otherSignal("logs", "OTEL_LOGS_EXPORTER")},
	"profiles": {codes.Unimplemented, "forkspan takes traces only, not profiles"},
}

// passOn hands a request of another signal on.
func (s *Server) passOn(ctx context.Context, other OtherRequest) (answer []byte, no *refusal) {
	if !s.enter(ctx) {
		return nil, errFull
	}
	defer s.leave()
	answer, err := s.options.PassOn(ctx, other)
	if err != nil {
		st := status.Convert(err)
		return nil, &refusal{st.Code(), st.Message()}
	}
	s.passedOn.Add(1)
	return answer, nil
}
