package cli

import (
	"bytes"
	"context"
	"net"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/receive"
)

// listenLoopback listens at the first of the addresses that there is. The error is that of the first.
func listenLoopback(addresses ...string) (net.Listener, error) {
	var first error
	for _, address := range addresses {
		l, err := net.Listen("tcp", address)
		if err == nil {
			return l, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// listen takes the port. A machine without IPv4 has a loopback address too.
func (r *localRun) listen() {
	l, err := listenLoopback("127.0.0.1:0", "[::1]:0")
	if err != nil {
		r.note("no port for the spans of the command: %v", err)
		return
	}
	r.address = l.Addr().String()
	r.server = receive.New(r, receive.Options{AnyUser: r.flags.anyUser})
	r.served = make(chan struct{})
	go func() {
		defer close(r.served)
		if err := r.server.Serve(l); err != nil {
			r.note("receive spans: %v", err)
		}
	}()
}

// Append stores a request that came over the port. The sender is answered when it is committed.
func (r *localRun) Append(ctx context.Context, body []byte, sum otlp.Summary) error {
	return r.take(ctx, origin{}, body, sum)
}

// hasEnded tells whether a finished span of that name is in a request.
func hasEnded(body []byte, name string) bool {
	if !bytes.Contains(body, []byte(name)) {
		return false
	}
	spans, err := otlp.Decode(body)
	if err != nil {
		return false
	}
	for i := range spans {
		if spans[i].Name == name && spans[i].End != 0 {
			return true
		}
	}
	return false
}

func (r *localRun) hostPort() string { return r.address }

// closePatience is how long requests under way have to finish at the end.
const closePatience = time.Second

func (r *localRun) closePort() {
	if r.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	_ = r.server.Shutdown(ctx) // what was cut off is its sender's to count
	<-r.served
	stats := r.server.Stats()
	r.counts.drop("malformed", int(stats.Rejected))
	if n := stats.Strangers; n > 0 {
		r.note("%s of other users of this machine refused: --any-user takes them", counted(int(n), "connection", "connections"))
	}
}
