package ready

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	tests := []struct {
		in   string
		want Condition
		out  string // as printed; empty for an error
	}{
		{"http://127.0.0.1:8000/health", Condition{URL: "http://127.0.0.1:8000/health"}, "http://127.0.0.1:8000/health"},
		{"https://h", Condition{URL: "https://h"}, "https://h"},
		{"tcp:127.0.0.1:80", Condition{Addr: "127.0.0.1:80"}, "tcp:127.0.0.1:80"},
		{"tcp://[::1]:80", Condition{Addr: "[::1]:80"}, "tcp:[::1]:80"},
		{"tcp::80", Condition{Addr: "127.0.0.1:80"}, "tcp:127.0.0.1:80"},
		{"span:Load model", Condition{Span: "Load model"}, "span:Load model"},
		{"span:", Condition{}, ""},
		{"tcp:80", Condition{}, ""},
		{"tcp:h:", Condition{}, ""},
		{"http:///x", Condition{}, ""},
		{"8000", Condition{}, ""},
		{"", Condition{}, ""},
	}
	for _, tt := range tests {
		got, err := Parse(tt.in)
		if got != tt.want || (err != nil) != (tt.out == "") {
			t.Errorf("Parse(%q) = %+v, %v", tt.in, got, err)
		}
		if err == nil && got.String() != tt.out {
			t.Errorf("Parse(%q).String() = %q, want %q", tt.in, got, tt.out)
		}
	}
}

func TestWaitForURL(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	at, err := Condition{URL: server.URL}.Wait(t.Context(), false)
	if err != nil || at.IsZero() {
		t.Fatalf("Wait: %v, %v", at, err)
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("ready after %d probes, want 3", n)
	}
}

func TestWaitForPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := (Condition{Addr: l.Addr().String()}).Wait(t.Context(), false); err != nil {
		t.Fatal(err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	// A server that takes the request and never answers.
	asked := make(chan struct{}, 1)
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	}))
	defer server.Close()
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if _, err := (Condition{URL: server.URL}).Wait(ctx, false); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait: %v", err)
	}
}

// What answers before the server was started is another server: it has to go first.
func TestWaitForTheOtherServerToGo(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	c := Condition{URL: server.URL}
	if !c.Holds(t.Context()) {
		t.Fatal("the condition does not hold")
	}
	if _, err := c.Wait(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if n := asked.Load(); n != 4 {
		t.Errorf("ready after %d probes, want 4", n)
	}
}

func TestHolds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := Condition{Addr: l.Addr().String()}
	if !c.Holds(t.Context()) {
		t.Error("an open port does not hold")
	}
	l.Close()
	if c.Holds(t.Context()) || (Condition{Span: "up"}).Holds(t.Context()) {
		t.Error("a closed port or a span holds")
	}
}
