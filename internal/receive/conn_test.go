package receive_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"sync"
	"testing"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/receive"
)

// addresses is a sink that notes the connections of its requests.
type addresses struct {
	mu            sync.Mutex
	local, remote []net.Addr
}

func (a *addresses) Append(ctx context.Context, _ []byte, _ otlp.Summary) error {
	local, remote := receive.Conn(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.local, a.remote = append(a.local, local), append(a.remote, remote)
	return nil
}

// TestConn wants a request's connection: the same values for all requests of one, for either protocol.
func TestConn(t *testing.T) {
	for name, send := range map[string]func(t *testing.T, addr string){
		"grpc": func(t *testing.T, addr string) {
			conn := dial(t, addr)
			for range 2 {
				if err := conn.Invoke(context.Background(), exportMethod, request(good(1)), new([]byte)); err != nil {
					t.Fatal(err)
				}
			}
		},
		"http": func(t *testing.T, addr string) {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			for range 2 {
				res, err := (&http.Client{Transport: transport}).Post("http://"+addr, "application/x-protobuf", bytes.NewReader(request(good(1))))
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			to := &addresses{}
			_, addr := start(t, to)
			send(t, addr)
			if len(to.local) != 2 || to.local[0].String() != addr || to.remote[0] == nil || to.remote[0].String() == addr {
				t.Fatalf("local %v, remote %v", to.local, to.remote)
			}
			if to.remote[0] != to.remote[1] {
				t.Error("two values for one connection")
			}
		})
	}
	if local, remote := receive.Conn(context.Background()); local != nil || remote != nil {
		t.Errorf("another context: %v, %v", local, remote)
	}
}
