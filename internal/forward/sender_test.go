package forward

import (
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"forkspan.dev/forkspan/internal/endpoint"
)

// request returns a request with n spans.
func request(t *testing.T, n int) []byte {
	t.Helper()
	spans := make([]*trace.Span, n)
	for i := range spans {
		spans[i] = &trace.Span{TraceId: []byte("0123456789abcdef"), SpanId: []byte("01234567"), Name: "work"}
	}
	body, err := proto.Marshal(&collector.ExportTraceServiceRequest{
		ResourceSpans: []*trace.ResourceSpans{{ScopeSpans: []*trace.ScopeSpans{{Spans: spans}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func countSpans(req *collector.ExportTraceServiceRequest) (n int) {
	for _, rs := range req.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			n += len(ss.Spans)
		}
	}
	return n
}

// backend answers with what answer returns for the n-th request: a status (0 for success) and rejected spans.
type backend struct {
	collector.UnimplementedTraceServiceServer
	answer func(n int) (code int, rejected int64)
	seen   atomic.Int32
	spans  atomic.Int32
	key    atomic.Value // the header api-key
}

func (b *backend) take(req *collector.ExportTraceServiceRequest, key string) (int, *collector.ExportTraceServiceResponse) {
	b.key.Store(key)
	code, rejected := 0, int64(0)
	if n := b.seen.Add(1); b.answer != nil {
		code, rejected = b.answer(int(n))
	}
	if code == 0 {
		b.spans.Add(int32(countSpans(req)))
	}
	resp := &collector.ExportTraceServiceResponse{}
	if rejected > 0 {
		resp.PartialSuccess = &collector.ExportTracePartialSuccess{RejectedSpans: rejected, ErrorMessage: "no"}
	}
	return code, resp
}

func (b *backend) Export(ctx context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	code, resp := b.take(req, strings.Join(md["api-key"], ","))
	if code != 0 {
		return nil, status.Error(codes.Code(code), "not now")
	}
	return resp, nil
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
	}
	data, err := io.ReadAll(body)
	req := new(collector.ExportTraceServiceRequest)
	if r.Header.Get("Content-Type") == "application/json" {
		err = protojson.Unmarshal(data, req)
	} else if err == nil {
		err = proto.Unmarshal(data, req)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	code, resp := b.take(req, r.Header.Get("api-key"))
	if code != 0 {
		w.WriteHeader(code)
		return
	}
	answer, _ := proto.Marshal(resp)
	w.Write(answer)
}

// start serves b with a protocol and returns a forwarder to it.
func (b *backend) start(t *testing.T, protocol string, settings ...string) *Sender {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if protocol == endpoint.GRPC {
		server := grpc.NewServer()
		collector.RegisterTraceServiceServer(server, b)
		go server.Serve(l)
		t.Cleanup(server.Stop)
	} else {
		server := httptest.NewUnstartedServer(b)
		server.Listener.Close()
		server.Listener = l
		server.Start()
		t.Cleanup(server.Close)
	}
	env := append(settings, "ENDPOINT=http://"+l.Addr().String(), "PROTOCOL="+protocol)
	return newSender(t, env...)
}

func newSender(t *testing.T, env ...string) *Sender {
	t.Helper()
	target, err := FromEnviron(environment(env...))
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewSender(target)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRequestsArrive(t *testing.T) {
	for _, protocol := range []string{endpoint.GRPC, endpoint.HTTP, endpoint.JSON} {
		for _, compression := range []string{"", "gzip"} {
			t.Run(protocol+" "+compression, func(t *testing.T) {
				b := &backend{}
				f := b.start(t, protocol, "COMPRESSION="+compression, "HEADERS=api-key=k1")
				for range 20 {
					f.Send(request(t, 3), 3)
				}
				got := f.Close(t.Context())
				if got != (Sent{Taken: 60}) || b.spans.Load() != 60 {
					t.Errorf("%+v, the backend has %d", got, b.spans.Load())
				}
				if key := b.key.Load(); key != "k1" {
					t.Errorf("header: %v", key)
				}
			})
		}
	}
}

func TestAnswers(t *testing.T) {
	busyOnce := func(busy int) func(int) (int, int64) {
		return func(n int) (int, int64) {
			if n == 1 {
				return busy, 0
			}
			return 0, 0
		}
	}
	always := func(code int, rejected int64) func(int) (int, int64) {
		return func(int) (int, int64) { return code, rejected }
	}
	tests := []struct {
		name, protocol string
		answer         func(int) (int, int64)
		want           Sent
	}{
		{"busy once", endpoint.HTTP, busyOnce(503), Sent{Taken: 5}},
		{"busy once", endpoint.GRPC, busyOnce(int(codes.ResourceExhausted)), Sent{Taken: 5}},
		{"refused", endpoint.HTTP, always(401, 0), Sent{Failed: 5, Reason: "status 401 Unauthorized"}},
		{"refused", endpoint.GRPC, always(int(codes.Unauthenticated), 0), Sent{Failed: 5, Reason: "Unauthenticated: not now"}},
		{"partly", endpoint.HTTP, always(0, 2), Sent{Taken: 3, Failed: 2, Reason: "rejected by the backend"}},
		{"partly", endpoint.GRPC, always(0, 2), Sent{Taken: 3, Failed: 2, Reason: "rejected by the backend"}},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+tt.protocol, func(t *testing.T) {
			b := &backend{answer: tt.answer}
			f := b.start(t, tt.protocol)
			f.Send(request(t, 5), 5)
			if got := f.Close(t.Context()); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// A backend that takes connections and never answers costs the deadline of Close, and what waits is counted.
func TestBlackHole(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, protocol := range []string{endpoint.GRPC, endpoint.HTTP} {
		t.Run(protocol, func(t *testing.T) {
			f := newSender(t, "ENDPOINT=http://"+l.Addr().String(), "PROTOCOL="+protocol)
			for range 10 {
				f.Send(request(t, 2), 2)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			got := f.Close(ctx)
			if got.Failed != 20 || got.Taken != 0 {
				t.Errorf("got %+v", got)
			}
			if got.Reason != "" && got.Reason != "no answer in time" { // none when nothing was tried yet
				t.Errorf("reason %q", got.Reason)
			}
		})
	}
}

func TestFullQueueIsCounted(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f := newSender(t, "ENDPOINT="+l.Addr().String())
	f.Send(make([]byte, maxWaiting), 3)
	f.Send([]byte("x"), 4)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := f.Close(ctx); got.Failed != 7 {
		t.Errorf("got %+v", got)
	}
}

func TestRejectedSpansOfBrokenAnswers(t *testing.T) {
	for _, answer := range []string{"", "\x0a", "\x0a\x05", "\x0a\x01\x08", "\x08\x01", "garbage"} {
		if n := readAnswer([]byte(answer)); n.rejected != 0 {
			t.Errorf("%q: %d", answer, n.rejected)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "otel.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{}
	server := httptest.NewUnstartedServer(b)
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	f := newSender(t, "ENDPOINT=unix:"+path, "PROTOCOL=http/protobuf")
	f.Send(request(t, 3), 3)
	if got := f.Close(t.Context()); got != (Sent{Taken: 3}) {
		t.Errorf("stats %+v", got)
	}
}
