package receive_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	tracecollector "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/receive"
)

// TestShutdownWaits shuts down while a request of each protocol is under way: both get their answers.
func TestShutdownWaits(t *testing.T) {
	entered, release := make(chan struct{}, 2), make(chan struct{})
	to := &sink{enter: func() {
		entered <- struct{}{}
		<-release
	}}
	server, addr := start(t, to)
	conn := dial(t, addr)
	answers := make(chan error, 2)
	go func() {
		answers <- conn.Invoke(context.Background(), exportMethod, request(good(1)), new([]byte))
	}()
	go func() {
		transport := &http.Transport{DisableKeepAlives: true}
		req, err := http.NewRequest(http.MethodPost, "http://"+addr, bytes.NewReader(request(good(2))))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-protobuf")
			var res *http.Response
			if res, err = transport.RoundTrip(req); err == nil {
				res.Body.Close()
				if res.StatusCode != http.StatusOK {
					err = errors.New(res.Status)
				}
			}
		}
		answers <- err
	}()
	<-entered
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- server.Shutdown(context.Background()) }()
	close(release)
	for range 2 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if err := <-stopped; err != nil || to.count() != 2 {
		t.Errorf("Shutdown: %v; %d spans", err, to.count())
	}
	if stats := server.Stats(); stats.Connections != 0 || stats.Spans != 2 {
		t.Errorf("counts: %+v", stats)
	}
}

// TestShutdownCuts shuts down with a context that has ended while requests of both protocols, a silent connection and a request
// that never becomes whole are under way.
func TestShutdownCuts(t *testing.T) {
	entered, release := make(chan struct{}, 1), make(chan struct{})
	to := &sink{enter: func() {
		entered <- struct{}{}
		<-release
	}}
	server, addr := start(t, to)
	conn := dial(t, addr)
	cut := make(chan error, 1)
	go func() {
		cut <- conn.Invoke(context.Background(), exportMethod, request(good(1)), new([]byte))
	}()
	<-entered
	for _, words := range []string{"", "PR", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nContent-Type: application/json\r\n\r\n{"} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte(words)); err != nil {
			t.Fatal(err)
		}
	}
	for server.Stats().Connections != 4 {
		runtime.Gosched()
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- server.Shutdown(ctx) }()
	if err := <-cut; status.Code(err) != codes.Unavailable {
		t.Errorf("the request that was cut: %v", err)
	}
	if err := <-stopped; !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	close(release)
	if err := server.Serve(mustListen(t)); err != nil {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

func mustListen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestManyConnections has more senders than places, each with a connection of its own.
func TestManyConnections(t *testing.T) {
	to := &sink{}
	server, addr := start(t, to)
	const senders = 150
	var all sync.WaitGroup
	for n := range senders {
		all.Go(func() {
			if n%2 == 0 {
				conn := dial(t, addr)
				if err := conn.Invoke(context.Background(), exportMethod, request(good(1)), new([]byte)); err != nil {
					t.Error(err)
				}
				conn.Close()
				return
			}
			if res, _ := post(t, "http://"+addr, "application/x-protobuf", "", bytes.NewReader(request(good(1)))); res.StatusCode != 200 {
				t.Error(res.Status)
			}
		})
	}
	all.Wait()
	if to.count() != senders {
		t.Errorf("%d spans", to.count())
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	for server.Stats().Connections != 0 && ctx.Err() == nil {
		runtime.Gosched() // connections that were idle are let go of by goroutines of their own
	}
	if stats := server.Stats(); stats.Connections != 0 || stats.Requests != senders {
		t.Errorf("counts: %+v", stats)
	}
}

// whole is a sink that wants nothing but requests that other implementations read too.
type whole struct{ t *testing.T }

func (w whole) Append(_ context.Context, body []byte, sum otlp.Summary) error {
	var data tracecollector.TracesData
	if err := proto.Unmarshal(body, &data); err != nil {
		w.t.Errorf("a request that does not unmarshal was let through: %v", err)
	}
	spans := 0
	for _, r := range data.ResourceSpans {
		for _, s := range r.ScopeSpans {
			spans += len(s.Spans)
		}
	}
	if spans != sum.Spans {
		w.t.Errorf("%d spans, the summary says %d", spans, sum.Spans)
	}
	return nil
}

// FuzzConnection writes arbitrary bytes to a connection, as they are or as the body of a request. Nothing but well-formed
// requests may come through, and the server must go on.
func FuzzConnection(f *testing.F) {
	head := "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: "
	f.Add([]byte(head+"application/json\r\nContent-Length: 2\r\n\r\n{}"), uint8(0))
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"), uint8(0))
	f.Add(request(good(1), good(2)), uint8(1))
	f.Add([]byte(jsonRequest), uint8(2))
	f.Add(zipped(f, 10), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, kind uint8) {
		l := mustListen(t)
		server := receive.New(whole{t}, receive.Options{})
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		if kind == 0 {
			if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
				_, _ = c.Write(data)
				c.Close()
			}
		} else {
			contentType, encoding := "application/x-protobuf", ""
			if kind&2 != 0 {
				contentType = "application/json"
			}
			if kind&4 != 0 {
				encoding = "gzip"
			}
			post(t, "http://"+l.Addr().String(), contentType, encoding, bytes.NewReader(data))
		}
		post(t, "http://"+l.Addr().String(), "application/x-protobuf", "", bytes.NewReader(request(good(1))))
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}
