package receive

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
)

// listener admits connections to a server.
type listener struct {
	net.Listener
	server *Server
}

// Accept implements [net.Listener].
func (l listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if !l.server.admits(raw) {
			l.server.strangers.Add(1)
			raw.Close()
			continue
		}
		if c := l.server.addConn(raw); c != nil {
			return c, nil
		}
		raw.Close()
	}
}

// conn is a connection of a server.
type conn struct {
	net.Conn
	server *Server
	begun  atomic.Bool // something has arrived
	once   sync.Once
}

// Read implements [net.Conn].
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.begun.Load() {
		c.begun.Store(true)
	}
	return n, err
}

// Close implements [net.Conn].
func (c *conn) Close() error {
	c.once.Do(func() { c.server.removeConn(c) })
	return c.Conn.Close()
}

// addConn counts a new connection; nil when there are too many or the server is shutting down.
func (s *Server) addConn(raw net.Conn) *conn {
	c := &conn{Conn: raw, server: s}
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

// closeSilent closes the connections on which nothing has arrived.
func (s *Server) closeSilent() {
	s.mu.Lock()
	s.closed = true
	var silent []*conn
	for c := range s.conns {
		if !c.begun.Load() {
			silent = append(silent, c)
		}
	}
	s.mu.Unlock()
	for _, c := range silent {
		c.Close()
	}
}

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
