package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// Server is a proxy that listens.
type Server struct {
	*Proxy
	listener net.Listener
	server   *http.Server
	cut      context.CancelFunc // ends the requests under way
	served   chan struct{}      // closed when Serve has returned
	err      error              // of Serve; read after served
}

// Listen starts a proxy at a TCP address such as 127.0.0.1:4319. Shutdown must be called, also where the error is only about
// the environment's resource attributes: the server is then not nil.
func Listen(address string, c Config) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	p, err := New(c)
	ctx, cut := context.WithCancel(context.Background())
	s := &Server{Proxy: p, listener: listener, cut: cut, served: make(chan struct{})}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.server = &http.Server{
		Handler:           p,
		Protocols:         &protocols,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       3 * time.Minute, // longer than that of clients, which would meet a connection that is just being closed
		MaxHeaderBytes:    1 << 20,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	go func() {
		defer close(s.served)
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.err = fmt.Errorf("accept connections: %w", err)
		}
	}()
	return s, err
}

// Addr is the address that the proxy listens at.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Done is closed when the server accepts no more connections.
func (s *Server) Done() <-chan struct{} { return s.served }

// Shutdown stops accepting, lets requests under way finish until ctx ends, cuts what is left, and hands the last spans to the
// sink. The error is that of Serve, or of the spans.
func (s *Server) Shutdown(ctx context.Context) error {
	if s.server.Shutdown(ctx) != nil {
		s.cut()
		last, cancel := context.WithTimeout(context.Background(), farewell)
		_ = s.server.Shutdown(last)
		cancel()
		_ = s.server.Close()
	}
	s.cut()
	<-s.served
	last, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	return errors.Join(s.err, s.Proxy.Shutdown(last))
}

// farewell is how long requests have that were cut, and the sink for the last spans.
const farewell = 5 * time.Second
