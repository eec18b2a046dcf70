package cli

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// other is what a backend got that is no spans: a method or path, and the fields that it does not know.
type other struct {
	where string
	body  string
}

const logsMethod = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

// grpcBackend takes metrics, and has never heard of logs.
func grpcBackend(t *testing.T, got chan<- other) (endpoint string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(stream)
		var m emptypb.Empty
		if err := stream.RecvMsg(&m); err != nil {
			return err
		}
		if method == logsMethod {
			return status.Error(codes.Unimplemented, "no logs here")
		}
		got <- other{method, string(m.ProtoReflect().GetUnknown())}
		return stream.SendMsg(&emptypb.Empty{})
	}))
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return "http://" + l.Addr().String()
}

func httpBackend(t *testing.T, got chan<- other) (endpoint string) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/logs" {
			http.NotFound(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		got <- other{r.URL.Path, string(body)}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestServePassesOn sends metrics and logs over both protocols to serve, whose backend speaks either and takes only the metrics.
func TestServePassesOn(t *testing.T) {
	const metricsMethod = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
	body := []byte("\x0a\x04\x12\x02\x0a\x00") // metrics of a resource and a scope
	for _, test := range []struct {
		protocol string
		backend  func(*testing.T, chan<- other) string
		where    string
	}{
		{"grpc", grpcBackend, metricsMethod},
		{"http/protobuf", httpBackend, "/v1/metrics"},
	} {
		t.Run(test.protocol, func(t *testing.T) {
			got := make(chan other, 2)
			s := startServe(t, []string{"OTEL_EXPORTER_OTLP_PROTOCOL=" + test.protocol}, "--forward", test.backend(t, got))
			conn, err := grpc.NewClient("passthrough:///"+s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			m := &emptypb.Empty{}
			m.ProtoReflect().SetUnknown(body)
			send := func(path string) int {
				res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Post(
					"http://"+s.addr+path, "application/x-protobuf", bytes.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				return res.StatusCode
			}
			if err := conn.Invoke(t.Context(), metricsMethod, m, &emptypb.Empty{}); err != nil {
				t.Errorf("metrics over gRPC: %v", err)
			}
			if code := send("/v1/metrics"); code != 200 {
				t.Errorf("metrics over HTTP: %d", code)
			}
			for range cap(got) {
				if g := <-got; g.where != test.where || g.body != string(body) {
					t.Errorf("the backend got %q", g)
				}
			}
			if err := conn.Invoke(t.Context(), logsMethod, m, &emptypb.Empty{}); status.Code(err) != codes.Unimplemented {
				t.Errorf("logs over gRPC: %v", err)
			}
			if code := send("/v1/logs"); code/100 != 4 {
				t.Errorf("logs over HTTP: %d", code)
			}
			said := s.stop(t)
			for _, want := range []string{"2 requests with metrics or logs refused", "2 requests with metrics or logs passed on"} {
				if !strings.Contains(said, want) {
					t.Errorf("said %s", said)
				}
			}
		})
	}
}
