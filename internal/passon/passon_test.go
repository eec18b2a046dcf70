package passon

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"forkspan.dev/forkspan/internal/forward"
)

// TestPass wants requests to go where their signal belongs, with the backend's headers, and its answers to mean to senders
// what OTLP says.
func TestPass(t *testing.T) {
	for _, test := range []struct {
		name, signal string
		json         bool
		answer       int
		path, kind   string
		want         codes.Code
	}{
		{"metrics", "metrics", false, 200, "/otlp/v1/metrics", "application/x-protobuf", codes.OK},
		{"logs in JSON", "logs", true, 200, "/otlp/v1/logs", "application/json", codes.OK},
		{"profiles", "profiles", false, 202, "/otlp/v1development/profiles", "application/x-protobuf", codes.OK},
		{"busy", "logs", false, 429, "/otlp/v1/logs", "application/x-protobuf", codes.Unavailable},
		{"down", "logs", false, 503, "/otlp/v1/logs", "application/x-protobuf", codes.Unavailable},
		{"traces only", "logs", false, 404, "/otlp/v1/logs", "application/x-protobuf", codes.Unimplemented},
		{"refused", "metrics", false, 401, "/otlp/v1/metrics", "application/x-protobuf", codes.InvalidArgument},
		{"redirect", "metrics", false, 307, "/otlp/v1/metrics", "application/x-protobuf", codes.InvalidArgument},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if r.URL.Path != test.path || r.Header.Get("Content-Type") != test.kind || r.Header.Get("X-Key") != "k" || string(body) != "body" {
					t.Errorf("got %s, %v, %q", r.URL.Path, r.Header, body)
				}
				w.Header().Set("Location", "http://192.0.2.1/")
				w.WriteHeader(test.answer)
				_, _ = io.WriteString(w, "answer")
			}))
			defer server.Close()
			p, err := New(&forward.Backend{
				Protocol: "http/protobuf", Address: server.URL + "/otlp/v1/traces", Headers: map[string]string{"x-key": "k"},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			answer, err := p.Pass(context.Background(), test.signal, test.json, []byte("body"))
			if status.Code(err) != test.want || err == nil && string(answer) != "answer" {
				t.Errorf("%q, %v", answer, err)
			}
		})
	}
}

// TestPassRefuses wants a clear answer where there is nothing to pass on to.
func TestPassRefuses(t *testing.T) {
	if _, err := New(&forward.Backend{Protocol: "http/protobuf", Address: "http://localhost:1/x"}); err == nil {
		t.Error("an address that says nothing of other signals is taken")
	}
	for _, b := range []*forward.Backend{
		{Protocol: "grpc", Address: "passthrough:///127.0.0.1:1"},
		{Protocol: "http/protobuf", Address: "http://127.0.0.1:1/v1/traces"},
	} {
		p, err := New(b)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if _, err := p.Pass(context.Background(), "logs", false, nil); status.Code(err) != codes.Unavailable {
			t.Errorf("%s that is down: %v", b.Protocol, err)
		}
		if _, err := p.Pass(context.Background(), "spam", false, nil); status.Code(err) != codes.Unimplemented {
			t.Errorf("another signal: %v", err)
		}
		for range most {
			p.places <- struct{}{}
		}
		if _, err := p.Pass(context.Background(), "logs", false, nil); status.Code(err) != codes.Unavailable ||
			!strings.Contains(err.Error(), "too many") {
			t.Errorf("too many at once: %v", err)
		}
	}
	p, err := New(&forward.Backend{Protocol: "grpc", Address: "passthrough:///127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Pass(context.Background(), "logs", true, nil); status.Code(err) != codes.Unimplemented {
		t.Errorf("JSON over gRPC: %v", err)
	}
}
