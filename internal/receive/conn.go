package receive

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// http2Preface starts every HTTP/2 connection without TLS (RFC 9113, section 3.4). No method of HTTP/1 starts like it, so its
// first bytes are enough.
const http2Preface = "PRI"

// conn is an accepted connection whose first bytes have been looked at.
type conn struct {
	net.Conn
	server *Server
	once   sync.Once
	proven atomic.Bool // it has brought a whole request

	mu       sync.Mutex // guards greeting
	greeting bool       // the first bytes have not arrived

	head  []byte // bytes read and not yet returned by Read
	array [len(http2Preface)]byte
}

// isHTTP2 waits for the first bytes and reports whether they start the preface of HTTP/2. A connection that sends too few in
// helloTimeout is closed.
func (c *conn) isHTTP2() bool {
	_ = c.SetReadDeadline(time.Now().Add(helloTimeout))
	n, err := io.ReadFull(c.Conn, c.array[:])
	c.head = c.array[:n]
	c.mu.Lock()
	c.greeting = false
	c.mu.Unlock()
	if err == nil {
		_ = c.SetReadDeadline(time.Time{})
	} else {
		c.Close()
	}
	return string(c.head) == http2Preface
}

// stopGreeting ends a wait for the first bytes.
func (c *conn) stopGreeting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.greeting {
		_ = c.SetReadDeadline(time.Unix(1, 0))
	}
}

// Read implements [net.Conn].
func (c *conn) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// Close implements [net.Conn].
func (c *conn) Close() error {
	c.once.Do(func() { c.server.removeConn(c) })
	return c.Conn.Close()
}

// addConn counts a new connection; nil when there are too many or the server is shutting down.
func (s *Server) addConn(raw net.Conn) *conn {
	c := &conn{Conn: raw, server: s, greeting: true}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= maxConnections {
		return nil
	}
	s.conns[c] = struct{}{}
	return c
}

func (s *Server) removeConn(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// addListener reports whether the server still accepts connections.
func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.listeners[l] = struct{}{}
	}
	return !s.closed
}

func (s *Server) removeListener(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// outOfDescriptors reports whether err says that the process or the system has no file descriptor left, which passes.
func outOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED)
}

// queue is a listener whose connections were accepted elsewhere.
type queue struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{} // closed by Close
	once  sync.Once
}

func newQueue(addr net.Addr) *queue {
	return &queue{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

// put hands c to Accept, or closes it when nobody accepts any more.
func (q *queue) put(c net.Conn) {
	select {
	case q.conns <- c:
	case <-q.done:
		c.Close()
	}
}

// Accept implements [net.Listener].
func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (q *queue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

// Addr implements [net.Listener].
func (q *queue) Addr() net.Addr { return q.addr }

// connKey is the key of a request's connection in its context.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// Conn returns the addresses of the connection that a request came on, ours and the sender's, from the context that a [Sink]
// gets; nil when ctx is another. They are the same values for all requests of a connection, and others for the next one.
func Conn(ctx context.Context) (local, remote net.Addr) {
	if c, ok := ctx.Value(connKey{}).(net.Conn); ok {
		return c.LocalAddr(), c.RemoteAddr()
	}
	return nil, nil
}
