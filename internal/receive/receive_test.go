package receive_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/receive"
)

// These make the test binary a sender as that user.
const (
	userVariable = "RECEIVE_TEST_USER"
	addrVariable = "RECEIVE_TEST_ADDR"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(addrVariable); addr != "" {
		os.Exit(sendAs(os.Getenv(userVariable), addr))
	}
	goleak.VerifyTestMain(m)
}

// sendAs sends a request as a user and prints the answer, which is empty when the connection is closed before.
func sendAs(user, addr string) int {
	uid, err := strconv.Atoi(user)
	if err != nil || uid != os.Getuid() && become(uid) != nil {
		return 1
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return 1
	}
	defer c.Close()
	_, _ = c.Write([]byte("GET /v1/traces HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
	_, _ = io.Copy(os.Stdout, c)
	return 0
}

// sink keeps what it is given, or fails.
type sink struct {
	mu     sync.Mutex
	bodies [][]byte
	spans  int
	err    error
	enter  func() // called at the start of Append; may be nil
}

func (s *sink) Append(_ context.Context, body []byte, sum otlp.Summary) error {
	if s.enter != nil {
		s.enter()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.bodies = append(s.bodies, bytes.Clone(body))
	s.spans += sum.Spans
	return nil
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spans
}

// start runs a server for the test and returns its address.
func start(t testing.TB, to receive.Sink) (server *receive.Server, addr string) {
	t.Helper()
	return startWith(t, to, receive.Options{})
}

func startWith(t testing.TB, to receive.Sink, options receive.Options) (server *receive.Server, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server = receive.New(to, options)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return server, l.Addr().String()
}

// TestExporters sends with OpenTelemetry's own exporters.
func TestExporters(t *testing.T) {
	ctx := context.Background()
	for name, client := range map[string]func(addr string) otlptrace.Client{
		"grpc": func(addr string) otlptrace.Client {
			return otlptracegrpc.NewClient(otlptracegrpc.WithEndpoint(addr), otlptracegrpc.WithInsecure())
		},
		"grpc gzip": func(addr string) otlptrace.Client {
			return otlptracegrpc.NewClient(otlptracegrpc.WithEndpoint(addr), otlptracegrpc.WithInsecure(), otlptracegrpc.WithCompressor("gzip"))
		},
		"http": func(addr string) otlptrace.Client {
			return otlptracehttp.NewClient(otlptracehttp.WithEndpoint(addr), otlptracehttp.WithInsecure())
		},
		"http gzip at the root": func(addr string) otlptrace.Client {
			return otlptracehttp.NewClient(otlptracehttp.WithEndpointURL("http://"+addr+"/"),
				otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
		},
	} {
		t.Run(name, func(t *testing.T) {
			to := &sink{}
			server, addr := start(t, to)
			exporter, err := otlptrace.New(ctx, client(addr))
			if err != nil {
				t.Fatal(err)
			}
			provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
			const spans = 700
			for range spans {
				_, span := provider.Tracer("test").Start(ctx, "llm_request")
				span.End()
			}
			if err := provider.Shutdown(ctx); err != nil {
				t.Fatal(err)
			}
			if to.count() != spans || server.Stats().Spans != spans {
				t.Errorf("%d spans arrived, %+v", to.count(), server.Stats())
			}
		})
	}
}

// span returns the protobuf of a span with the given ids and extra fields.
func span(traceID, spanID string, extra ...byte) []byte {
	var b []byte
	b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), traceID)
	b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), spanID)
	b = protowire.AppendString(protowire.AppendTag(b, 5, protowire.BytesType), "llm_request")
	b = protowire.AppendFixed64(protowire.AppendTag(b, 7, protowire.Fixed64Type), 1_800_000_001_000_000_000)
	b = protowire.AppendFixed64(protowire.AppendTag(b, 8, protowire.Fixed64Type), 1_800_000_000_000_000_000)
	return append(b, extra...)
}

// good returns a well-formed span, the nth.
func good(n uint64) []byte {
	return span(strings.Repeat("t", 16), string(binary.BigEndian.AppendUint64(nil, n+1)))
}

// request returns a request with spans of one scope.
func request(spans ...[]byte) []byte {
	var scope []byte
	for _, s := range spans {
		scope = protowire.AppendBytes(protowire.AppendTag(scope, 2, protowire.BytesType), s)
	}
	resource := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), scope)
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), resource)
}
