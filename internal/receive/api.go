package receive

import (
	"context"
	"net"

	"forkspan.dev/forkspan/internal/otlp"
)

// Sink takes the requests that arrive. The sender is answered when Append returns; an error is a 503 or UNAVAILABLE to it.
type Sink interface {
	Append(ctx context.Context, body []byte, sum otlp.Summary) error
}

// Server receives OTLP/gRPC and OTLP/HTTP on one listener.
type Server struct{}

// Stats counts what a server has seen. Values only grow, except Connections.
type Stats struct {
	Connections   int64 // open now
	Requests      int64
	Spans         int64 // acknowledged
	Rejected      int64 // malformed spans, told to the sender by partial success
	RejectedBytes int64 // requests refused as a whole: too large, not OTLP
}

// New returns a server that hands what it receives to sink.
func New(sink Sink) *Server { panic("stub") }

// Serve accepts connections until Shutdown; it then returns nil.
func (s *Server) Serve(l net.Listener) error { panic("stub") }

// Shutdown stops accepting, lets requests under way finish until ctx ends, then cuts what is left.
func (s *Server) Shutdown(ctx context.Context) error { panic("stub") }

// Stats returns the counts so far.
func (s *Server) Stats() Stats { panic("stub") }
