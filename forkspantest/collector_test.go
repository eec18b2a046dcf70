package forkspantest_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"

	"forkspan.dev/forkspan/forkspantest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits for events that must come.
const patience = 30 * time.Second

func waiting(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// transport makes an exporter of OpenTelemetry's that sends to c.
type transport struct {
	name     string
	protocol string
	dial     func(ctx context.Context, c *forkspantest.Collector) (sdktrace.SpanExporter, error)
}

var transports = []transport{
	{"grpc", "grpc", func(ctx context.Context, c *forkspantest.Collector) (sdktrace.SpanExporter, error) {
		return otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(c.Addr()), grpcSecurity(c),
			otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{}))
	}},
	{"grpc gzip", "grpc", func(ctx context.Context, c *forkspantest.Collector) (sdktrace.SpanExporter, error) {
		return otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(c.Addr()), grpcSecurity(c),
			otlptracegrpc.WithCompressor("gzip"), otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{}))
	}},
	{"http", "http/protobuf", func(ctx context.Context, c *forkspantest.Collector) (sdktrace.SpanExporter, error) {
		return otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(c.TracesEndpoint()),
			otlptracehttp.WithTLSClientConfig(c.ClientTLS()),
			otlptracehttp.WithRetry(otlptracehttp.RetryConfig{}))
	}},
	{"http gzip", "http/protobuf", func(ctx context.Context, c *forkspantest.Collector) (sdktrace.SpanExporter, error) {
		return otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(c.TracesEndpoint()),
			otlptracehttp.WithTLSClientConfig(c.ClientTLS()),
			otlptracehttp.WithCompression(otlptracehttp.GzipCompression),
			otlptracehttp.WithRetry(otlptracehttp.RetryConfig{}))
	}},
}

func grpcSecurity(c *forkspantest.Collector) otlptracegrpc.Option {
	if config := c.ClientTLS(); config != nil {
		return otlptracegrpc.WithTLSCredentials(credentials.NewTLS(config))
	}
	return otlptracegrpc.WithInsecure()
}

// eachTransport runs test against a collector of its own for each transport. send exports spans of the given names as
// children of a span "root", in one request, and returns the exporter's error.
func eachTransport(t *testing.T, test func(t *testing.T, c *forkspantest.Collector, send func(names ...string) error),
	opts ...forkspantest.CollectorOption) {
	for _, tp := range transports {
		t.Run(tp.name, func(t *testing.T) {
			c := forkspantest.NewCollector(t, opts...)
			exporter, err := tp.dial(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = exporter.Shutdown(context.Background()) }()
			test(t, c, func(names ...string) error {
				return exporter.ExportSpans(waiting(t), makeSpans(t, names...))
			})
			for _, r := range c.Requests() {
				if r.Protocol != tp.protocol {
					t.Errorf("protocol %q, want %q", r.Protocol, tp.protocol)
				}
				if zipped := strings.HasSuffix(tp.name, "gzip"); (r.Compression == "gzip") != zipped {
					t.Errorf("compression %q, want gzip: %t", r.Compression, zipped)
				}
			}
		})
	}
}

func makeSpans(t *testing.T, names ...string) []sdktrace.ReadOnlySpan {
	recorder := forkspantest.NewRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "sender"))))
	tracer := provider.Tracer("scope")
	ctx, root := tracer.Start(t.Context(), "root")
	for i, name := range names {
		_, span := tracer.Start(ctx, name)
		span.SetAttributes(attribute.Int("rank", i))
		span.End()
	}
	root.End()
	return recorder.Spans()
}

func TestCollectorKeepsSpans(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *forkspantest.Collector, send func(...string) error) {
		if err := send("a", "b"); err != nil {
			t.Fatal(err)
		}
		spans, err := c.WaitSpans(waiting(t), 3)
		if err != nil {
			t.Fatal(err)
		}
		want := "root service.name=sender\n  a rank=0 service.name=sender\n  b rank=1 service.name=sender\n"
		if got := c.Tree("rank", "service.name"); got != want {
			t.Errorf("tree:\n%swant:\n%s", got, want)
		}
		if n := len(forkspantest.TraceIDs(spans)); n != 1 {
			t.Errorf("%d traces, want 1", n)
		}
		b, ok := c.Find("b")
		if rank, _ := b.Attribute("rank"); !ok || rank != int64(1) {
			t.Errorf("span b: found %t, rank %v", ok, rank)
		}
		if b.Scope.GetName() != "scope" {
			t.Errorf("scope %q", b.Scope.GetName())
		}
	})
}

func TestCollectorWithTLS(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *forkspantest.Collector, send func(...string) error) {
		if err := send("a"); err != nil {
			t.Fatal(err)
		}
		if client := c.Requests()[0].Client; client != "forkspantest client" {
			t.Errorf("client %q", client)
		}
	}, forkspantest.WithClientAuth())
}

func TestCollectorRefusesClientWithoutCertificate(t *testing.T) {
	c := forkspantest.NewCollector(t, forkspantest.WithClientAuth())
	config := c.ClientTLS()
	config.Certificates = nil
	exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(c.TracesEndpoint()),
		otlptracehttp.WithTLSClientConfig(config))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = exporter.Shutdown(context.Background()) }()
	if err := exporter.ExportSpans(waiting(t), makeSpans(t)); err == nil {
		t.Error("a client without a certificate was served")
	}
	if n := len(c.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestCollectorAnswers(t *testing.T) {
	tests := []struct {
		name   string
		answer forkspantest.Answer
		grpc   string // part of the exporter's error; empty for success
		http   string
		kept   int
	}{
		{"accept", forkspantest.Answer{}, "", "", 2},
		{"bad request", forkspantest.Answer{Status: 400, Message: "no spans"}, "InvalidArgument desc = no spans", "400", 0},
		{"unauthorized", forkspantest.Answer{Status: 401}, "Unauthenticated", "401", 0},
		{"too many", forkspantest.Answer{Status: 429, RetryAfter: time.Minute}, "ResourceExhausted", "retry-able", 0},
		{"unavailable", forkspantest.Answer{Status: 503}, "Unavailable", "retry-able", 0},
		{"paired code", forkspantest.Answer{Code: codes.DeadlineExceeded}, "DeadlineExceeded", "retry-able", 0},
		{"unpaired status", forkspantest.Answer{Status: 418}, "Unknown", "418", 0},
		{"unpaired code", forkspantest.Answer{Code: codes.DataLoss}, "DataLoss", "500", 0},
		{"partial", forkspantest.Answer{Rejected: 1, Message: "too old"}, "too old (1 spans rejected)", "too old (1 spans rejected)", 1},
		{"warning", forkspantest.Answer{Message: "old client"}, "old client (0 spans rejected)", "old client (0 spans rejected)", 2},
		{"garbage", forkspantest.Answer{Garbage: []byte("\x0a\xff")}, "unmarshal", "proto", 2},
		{"delay", forkspantest.Answer{Delay: time.Millisecond}, "", "", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, c *forkspantest.Collector, send func(...string) error) {
				c.Answer(tt.answer)
				err := send("a")
				want := tt.http
				if strings.Contains(t.Name(), "/grpc") {
					want = strings.Replace(tt.grpc, " desc", "", 1)
				}
				checkError(t, err, want)
				if n := len(c.Spans()); n != tt.kept {
					t.Errorf("%d spans kept, want %d", n, tt.kept)
				}
				if err := send("a"); err != nil {
					t.Errorf("the request after the queued answer: %v", err)
				}
			})
		})
	}
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case err == nil && want != "":
		t.Errorf("no error, want %q", want)
	case err != nil && want == "":
		t.Errorf("error %v", err)
	case err != nil && !strings.Contains(strings.ReplaceAll(err.Error(), " desc =", " ="), want):
		t.Errorf("error %q, want %q in it", err, want)
	}
}

// A client that is told to come back does so, over either protocol, and finds the wait in its own form.
func TestCollectorRetryAfter(t *testing.T) {
	c := forkspantest.NewCollector(t)
	grpcClient, err := otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpointURL(c.Endpoint()),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: true, InitialInterval: 1, MaxElapsedTime: patience}))
	if err != nil {
		t.Fatal(err)
	}
	httpClient, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(c.TracesEndpoint()),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: 1, MaxElapsedTime: patience}))
	if err != nil {
		t.Fatal(err)
	}
	for _, exporter := range []sdktrace.SpanExporter{grpcClient, httpClient} {
		// Without RetryInfo, RESOURCE_EXHAUSTED is final to a gRPC client.
		c.Answer(forkspantest.Answer{Status: 429, RetryAfter: time.Nanosecond})
		if err := exporter.ExportSpans(waiting(t), makeSpans(t)); err != nil {
			t.Error(err)
		}
		_ = exporter.Shutdown(context.Background())
	}
	if n := len(c.Requests()); n != 4 {
		t.Errorf("%d requests, want two tries for each protocol", n)
	}
	if got := c.Spans(); len(got) != 2 {
		t.Errorf("%d spans kept, want 2", len(got))
	}
}

func TestCollectorHold(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *forkspantest.Collector, send func(...string) error) {
		release := make(chan struct{})
		c.Answer(forkspantest.Answer{Hold: release})
		sent := make(chan error, 1)
		go func() { sent <- send("a") }()
		if _, err := c.WaitRequests(waiting(t), 1); err != nil {
			t.Fatal(err)
		}
		if n := len(c.Spans()); n != 0 {
			t.Errorf("%d spans kept before the answer", n)
		}
		close(release)
		if err := <-sent; err != nil {
			t.Error(err)
		}
	})
}

// Close cuts what is still held back, and the waits with it.
func TestCollectorCloseCutsHeldAnswers(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *forkspantest.Collector, send func(...string) error) {
		c.AnswerAll(forkspantest.Answer{Hold: make(chan struct{})})
		sent := make(chan error, 1)
		go func() { sent <- send("a") }()
		if _, err := c.WaitRequests(waiting(t), 1); err != nil {
			t.Fatal(err)
		}
		c.Close()
		c.Close()
		if err := <-sent; err == nil {
			t.Error("a request that was never answered succeeded")
		}
		if _, err := c.WaitSpans(waiting(t), 1); err == nil || !strings.Contains(err.Error(), "collector closed") {
			t.Errorf("wait after Close: %v", err)
		}
	})
}

func TestCollectorWaitSaysWhatCame(t *testing.T) {
	c := forkspantest.NewCollector(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.WaitSpans(ctx, 2); err == nil || err.Error() != "wait for 2 spans, 0 were accepted: context canceled" {
		t.Errorf("error %v", err)
	}
	if _, err := c.WaitRequests(ctx, 2); err == nil || err.Error() != "wait for 2 requests, 0 have arrived: context canceled" {
		t.Errorf("error %v", err)
	}
}

const jsonRequest = `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"web"}}]},
	"scopeSpans":[{"scope":{"name":"s"},"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174",
	"parentSpanId":"eee19b7ec3c1b173","name":"GET","kind":2,"startTimeUnixNano":"1","endTimeUnixNano":"2","unknownField":true,
	"attributes":[{"key":"traceId","value":{"stringValue":"not hex"}},{"key":"n","value":{"intValue":"7"}},
	{"key":"list","value":{"arrayValue":{"values":[{"boolValue":true},{"doubleValue":0.5}]}}},
	{"key":"map","value":{"kvlistValue":{"values":[{"key":"k","value":{"bytesValue":"aGk="}}]}}}]}]}]}]}`

func TestCollectorJSON(t *testing.T) {
	tests := []struct {
		name, path, contentType, encoding, body string
		answer                                  forkspantest.Answer
		status                                  int
		want                                    string
		spans                                   int
	}{
		{"accepted", "/v1/traces", "application/json; charset=utf-8", "", jsonRequest, forkspantest.Answer{}, 200, "{}", 1},
		{"partial", "/v1/traces", "application/json", "", jsonRequest, forkspantest.Answer{Rejected: 1, Message: "old"}, 200,
			`{"partialSuccess":{"errorMessage":"old","rejectedSpans":"1"}}`, 0},
		{"refused", "/v1/traces", "application/json", "", jsonRequest, forkspantest.Answer{Status: 400, Message: "no"}, 400,
			`{"code":3,"message":"no"}`, 0},
		{"not JSON", "/v1/traces", "application/json", "", "{", forkspantest.Answer{}, 400, `"code":3`, 0},
		{"two documents", "/v1/traces", "application/json", "", "{} {}", forkspantest.Answer{}, 400, "something follows", 0},
		{"bad id", "/v1/traces", "application/json", "", `{"resourceSpans":[{"scopeSpans":[{"spans":[{"spanId":"xx"}]}]}]}`,
			forkspantest.Answer{}, 400, "read spanId", 0},
		{"not gzip", "/v1/traces", "application/json", "gzip", jsonRequest, forkspantest.Answer{}, 400, "decompress request", 0},
		{"other compression", "/v1/traces", "application/json", "br", jsonRequest, forkspantest.Answer{}, 400, "unsupported compression", 0},
		{"other path", "/", "application/json", "", jsonRequest, forkspantest.Answer{}, 404, "", 0},
		{"other type", "/v1/traces", "text/plain", "", jsonRequest, forkspantest.Answer{}, 415, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := forkspantest.NewCollector(t)
			c.AnswerAll(tt.answer)
			request, err := http.NewRequestWithContext(t.Context(), "POST", c.Endpoint()+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", tt.contentType)
			request.Header.Set("Content-Encoding", tt.encoding)
			status, body := post(t, request)
			if status != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("answer %d %q, want %d with %q", status, body, tt.status, tt.want)
			}
			if n := len(c.Spans()); n != tt.spans {
				t.Errorf("%d spans kept, want %d", n, tt.spans)
			}
			if got := c.Requests()[0].Answer; got.Status != tt.status && (got.Status != 0 || tt.status != 200) {
				t.Errorf("recorded answer %+v", got)
			}
		})
	}
}

func post(t *testing.T, request *http.Request) (status int, body string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

func TestSpanValues(t *testing.T) {
	c := forkspantest.NewCollector(t)
	request, err := http.NewRequestWithContext(t.Context(), "POST", c.TracesEndpoint(), strings.NewReader(jsonRequest))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	post(t, request)
	want := "GET [server] [parent elsewhere] n=7 list=[true 0.5] map=map[k:[104 105]] service.name=web\n"
	if got := c.Tree("n", "list", "map", "service.name", "absent"); got != want {
		t.Errorf("tree %q, want %q", got, want)
	}
	span, _ := c.Find("GET")
	if !bytes.Equal(span.GetTraceId(), []byte("\x5b\x8e\xff\xf7\x98\x03\x81\x03\xd2\x69\xb6\x33\x81\x3f\xc6\x0c")) {
		t.Errorf("trace id %x", span.GetTraceId())
	}
	if _, ok := c.Find("PUT"); ok {
		t.Error("found a span that was never sent")
	}
}

// gRPC that is not an export request is refused as a server does that knows no other service.
func TestCollectorGRPCRefusals(t *testing.T) {
	const export = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
	tests := []struct{ name, path, frame, status string }{
		{"other method", "/grpc.health.v1.Health/Check", "\x00\x00\x00\x00\x00", "12"},
		{"no frame", export, "", "13"},
		{"cut frame", export, "\x00\x00\x00\x00\x09abc", "13"},
		{"not protobuf", export, "\x00\x00\x00\x00\x01\xff", "13"},
		{"not gzip", export, "\x01\x00\x00\x00\x01\xff", "13"},
		{"empty message", export, "\x00\x00\x00\x00\x00", "0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := forkspantest.NewCollector(t)
			var protocols http.Protocols
			protocols.SetUnencryptedHTTP2(true)
			client := &http.Client{Transport: &http.Transport{Protocols: &protocols}}
			defer client.CloseIdleConnections()
			request, err := http.NewRequestWithContext(t.Context(), "POST", c.Endpoint()+tt.path, strings.NewReader(tt.frame))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/grpc")
			request.Header.Set("Grpc-Encoding", "gzip")
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if _, err := io.Copy(io.Discard, response.Body); err != nil {
				t.Fatal(err)
			}
			if got := response.Trailer.Get("Grpc-Status"); got != tt.status {
				t.Errorf("grpc-status %q %q, want %q", got, response.Trailer.Get("Grpc-Message"), tt.status)
			}
			if c.Requests()[0].Protocol != "grpc" {
				t.Errorf("protocol %q", c.Requests()[0].Protocol)
			}
		})
	}
}

func TestBlackHole(t *testing.T) {
	endpoint := "http://" + forkspantest.BlackHole(t) + "/v1/traces"
	exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(endpoint))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := exporter.ExportSpans(ctx, makeSpans(t)); err == nil {
		t.Error("a black hole took spans")
	}
	_ = exporter.Shutdown(context.Background())
}

func TestCollectorRequestsAreCopies(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *forkspantest.Collector, send func(...string) error) {
		if err := send("a"); err != nil {
			t.Fatal(err)
		}
		before := c.Spans()
		clear(before)
		if slices.Contains(c.Spans(), forkspantest.Span{}) {
			t.Error("the caller's slice is the collector's own")
		}
	})
}
