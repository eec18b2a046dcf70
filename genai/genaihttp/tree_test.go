package genaihttp_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/genai/genaihttp"
)

const (
	callerTrace  = "0af7651916cd43dd8448eb211c80319c"
	callerSpan   = "b7ad6b7169203331"
	sampledBy    = "00-" + callerTrace + "-" + callerSpan + "-01"
	notSampledBy = "00-" + callerTrace + "-" + callerSpan + "-00"
)

// gateway is newChain with a server that starts a span as vLLM does, from the headers it gets. Two requests
// that are sent, plain and streamed, make the given number of spans.
func gateway(t *testing.T, k kind, recorded int, sampler sdktrace.Sampler, opts ...genaihttp.Option) (
	send func(path string, header http.Header), spans *forkspantest.Recorder, seen func() http.Header) {
	t.Helper()
	spans = forkspantest.NewRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans), sdktrace.WithSampler(sampler))
	tracer := provider.Tracer("vllm.tracing.otel")
	upstream := forkspantest.NewModelServer(t, forkspantest.WithObserver(func(r *http.Request, _ []byte) {
		ctx := forkspan.Extract(context.Background(), propagation.HeaderCarrier(r.Header))
		_, span := tracer.Start(ctx, "llm_request", trace.WithSpanKind(trace.SpanKindServer))
		span.End()
	}))
	target, err := url.Parse(upstream.URL())
	if err != nil {
		t.Fatal(err)
	}
	base := &http.Transport{}
	opts = append([]genaihttp.Option{genaihttp.WithTracerProvider(provider)}, opts...)
	reverse := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: base}
	if k == both {
		reverse.Transport = genaihttp.Transport(base, opts...)
	}
	handler := genaihttp.Handler(reverse, opts...)
	server := httptest.NewServer(handler)
	client := &http.Transport{}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		server.Close()
		base.CloseIdleConnections()
	})
	send = func(path string, header http.Header) {
		for _, body := range []string{chatBody, streamBody} {
			r, err := http.NewRequestWithContext(patient(t), http.MethodPost, server.URL+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			for name, values := range header {
				r.Header[name] = values
			}
			res, err := client.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		if _, err := spans.WaitSpans(patient(t), recorded); err != nil {
			t.Error(err)
		}
	}
	seen = func() http.Header {
		requests := upstream.Requests()
		return requests[len(requests)-1].Header
	}
	return send, spans, seen
}

func TestTrees(t *testing.T) {
	t.Setenv("traceparent", "")
	routes := map[string]string{
		"/v1/chat/completions": "chat fake-model", "/v1/completions": "text_completion fake-model",
		"/v1/responses": "chat fake-model", "/v1/embeddings": "embeddings fake-model", "/v1/messages": "chat fake-model",
		"/completion": "text_completion fake-model", "/api/chat": "chat fake-model", "/api/generate": "text_completion fake-model",
	}
	for path, name := range routes {
		send, spans, seen := gateway(t, both, 6, sdktrace.ParentBased(sdktrace.AlwaysSample()))
		send(path, http.Header{"Traceparent": {sampledBy}, "Tracestate": {"a=1"}})
		one := "POST " + path + " [server] [parent elsewhere]\n  " + name + " [client]\n    llm_request [server]\n"
		if path != "/v1/chat/completions" && path != "/v1/completions" {
			one = "POST " + path + " [server] [parent elsewhere]\n  " + name + " [client] [error: fake_error]\n    llm_request [server]\n"
		}
		if got := spans.Tree(); got != one+one {
			t.Errorf("%s:\n%swant twice\n%s", path, got, one)
		}
		if got := seen().Values("Traceparent"); len(got) != 1 || got[0][:36] != sampledBy[:36] || got[0][52:] != "-01" {
			t.Errorf("%s: the server got %q", path, got)
		}
		if got := seen().Values("Tracestate"); len(got) != 1 || got[0] != "a=1" {
			t.Errorf("%s: the server got tracestate %q", path, got)
		}
		for _, s := range spans.Spans() {
			if s.SpanContext().TraceID().String() != callerTrace {
				t.Errorf("span %q is in trace %s", s.Name(), s.SpanContext().TraceID())
			}
		}
	}
}

// TestMiddlewareHandsOnItsSpan has a bare ReverseProxy behind the middleware.
func TestMiddlewareHandsOnItsSpan(t *testing.T) {
	send, spans, seen := gateway(t, middlewareOnly, 4, sdktrace.ParentBased(sdktrace.AlwaysSample()))
	send(chatPath, http.Header{"Traceparent": {sampledBy}})
	const one = "chat fake-model [server] [parent elsewhere]\n  llm_request [server]\n"
	if got := spans.Tree(); got != one+one {
		t.Errorf("got\n%s", got)
	}
	if got := seen().Values("Traceparent"); len(got) != 1 {
		t.Errorf("the server got %q", got)
	}
}

// TestDuplicateTraceparent is invalid by W3C Trace Context, as it says nothing.
func TestDuplicateTraceparent(t *testing.T) {
	t.Setenv("traceparent", "")
	send, spans, seen := gateway(t, both, 6, sdktrace.AlwaysSample())
	send(chatPath, http.Header{"Traceparent": {sampledBy, sampledBy}})
	for _, s := range spans.Spans() {
		if s.SpanContext().TraceID().String() == callerTrace {
			t.Errorf("span %q continues the caller's trace", s.Name())
		}
	}
	if got := seen().Values("Traceparent"); len(got) != 1 {
		t.Errorf("the server got %q", got)
	}
}

// recordOnly is a sampler that keeps for this process what the caller does not sample.
type recordOnly struct{}

func (recordOnly) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	parent := trace.SpanContextFromContext(p.ParentContext)
	result := sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample, Tracestate: parent.TraceState()}
	if parent.IsValid() && !parent.IsSampled() {
		result.Decision = sdktrace.RecordOnly
	}
	return result
}

func (recordOnly) Description() string { return "record only" }

func TestUnsampledCaller(t *testing.T) {
	for _, sampler := range []sdktrace.Sampler{recordOnly{}, sdktrace.ParentBased(sdktrace.AlwaysSample())} {
		want := 0
		if sampler == (recordOnly{}) {
			want = 6
		}
		send, spans, seen := gateway(t, both, want, sampler)
		send(chatPath, http.Header{"Traceparent": {notSampledBy}})
		if got := seen().Values("Traceparent"); len(got) != 1 || got[0][:36] != notSampledBy[:36] || got[0][52:] != "-00" {
			t.Errorf("the server got %q", got)
		}
		if got := len(spans.Spans()); got != want {
			t.Errorf("%s: %d spans, want %d", sampler.Description(), got, want)
		}
	}
}

// TestRequestWithoutHeaders is a root of its own, linked to the trace of the process's start, and never a part of that.
func TestRequestWithoutHeaders(t *testing.T) {
	t.Setenv("traceparent", sampledBy)
	send, spans, _ := gateway(t, both, 6, sdktrace.AlwaysSample())
	send(chatPath, nil)
	roots := 0
	for _, s := range spans.Spans() {
		if s.SpanContext().TraceID().String() == callerTrace {
			t.Errorf("span %q is in the start-up trace", s.Name())
		}
		if s.Parent().IsValid() {
			continue
		}
		roots++
		if links := s.Links(); len(links) != 1 || links[0].SpanContext.SpanID().String() != callerSpan {
			t.Errorf("links %v", links)
		}
	}
	if roots != 2 {
		t.Errorf("%d roots\n%s", roots, spans.Tree())
	}
}

func TestPublicEndpoint(t *testing.T) {
	send, spans, _ := gateway(t, both, 6, sdktrace.AlwaysSample(), genaihttp.WithPublicEndpoint())
	send(chatPath, http.Header{"Traceparent": {sampledBy}})
	for _, s := range spans.Spans() {
		if s.SpanContext().TraceID().String() == callerTrace {
			t.Errorf("span %q continues the stranger's trace", s.Name())
		}
	}
}

// TestTransportWithoutParent takes the environment's, as every span of this library does.
func TestTransportWithoutParent(t *testing.T) {
	t.Setenv("traceparent", sampledBy)
	c := newChain(t, transportOnly)
	c.post(t, chatPath, chatBody)
	if got := c.wait(t, 1)[0].Parent().SpanID().String(); got != callerSpan {
		t.Errorf("parent %s", got)
	}
}
