// Package middleware measures what genaihttp costs beside otelhttp in the same place, without a network: what a request costs
// more than with otelhttp is what observing an LLM request costs.
package middleware

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"forkspan.dev/forkspan/genai/genaihttp"
)

const (
	request = `{"model":"m","messages":[{"role":"user","content":"Say hello."}],"max_tokens":16,"temperature":0.7}`
	answer  = `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":` +
		`{"role":"assistant","content":"Hello, world!"},"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":7,"completion_tokens":4,"total_tokens":11}}`
	event = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":` +
		`[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}` + "\n\n"
	traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
)

// dropping is a span processor that costs nothing.
type dropping struct{}

func (dropping) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (dropping) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (dropping) Shutdown(context.Context) error                  { return nil }
func (dropping) ForceFlush(context.Context) error                { return nil }

var provider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(dropping{}))

// answering is a server that has read the request, as a gateway's handler does.
func answering(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, answer)
}

// nowhere is a ResponseWriter without a client.
type nowhere struct{ header http.Header }

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (w *nowhere) WriteHeader(int)             {}
func (w *nowhere) Flush()                      {}

func BenchmarkHandler(b *testing.B) {
	for _, c := range []struct {
		name    string
		handler http.Handler
	}{
		{"none", http.HandlerFunc(answering)},
		{"otelhttp", otelhttp.NewHandler(http.HandlerFunc(answering), "chat", otelhttp.WithTracerProvider(provider),
			otelhttp.WithPropagators(propagation.TraceContext{}))},
		{"genaihttp", genaihttp.Handler(http.HandlerFunc(answering), genaihttp.WithTracerProvider(provider),
			genaihttp.WithPropagator(propagation.TraceContext{}))},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			w := &nowhere{header: http.Header{}}
			header := http.Header{"Content-Type": {"application/json"}, "Traceparent": {traceparent}, "Accept": {"*/*"}}
			ctx := b.Context()
			for b.Loop() {
				clear(w.header)
				r := (&http.Request{Method: http.MethodPost, URL: mustURL, Host: "localhost:8000", Header: header,
					Body: io.NopCloser(strings.NewReader(request)), ContentLength: int64(len(request)), Proto: "HTTP/1.1",
					ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
				c.handler.ServeHTTP(w, r)
			}
		})
	}
}

// stub is a transport without a network.
type stub func() *http.Response

func (s stub) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	return s(), nil
}

func plain() *http.Response {
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}},
		ContentLength: int64(len(answer)), Body: io.NopCloser(strings.NewReader(answer))}
}

func BenchmarkTransport(b *testing.B) {
	for _, c := range []struct {
		name      string
		transport http.RoundTripper
	}{
		{"none", stub(plain)},
		{"otelhttp", otelhttp.NewTransport(stub(plain), otelhttp.WithTracerProvider(provider),
			otelhttp.WithPropagators(propagation.TraceContext{}))},
		{"genaihttp", genaihttp.Transport(stub(plain), genaihttp.WithTracerProvider(provider),
			genaihttp.WithPropagator(propagation.TraceContext{}))},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				res, err := c.transport.RoundTrip(newRequest(b))
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
	}
}

func newRequest(b *testing.B) *http.Request {
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, mustURL.String(), strings.NewReader(request))
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// endless yields one event a Read.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left--; e.left < 0 {
		return 0, io.EOF
	}
	return copy(p, event), nil
}

func (e *endless) Close() error { return nil }

// BenchmarkChunk is one chunk of a stream through the transport, or written and flushed through the handler.
func BenchmarkChunk(b *testing.B) {
	b.Run("transport", func(b *testing.B) {
		b.ReportAllocs()
		t := genaihttp.Transport(stub(func() *http.Response {
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, ContentLength: -1,
				Body: &endless{left: b.N}}
		}), genaihttp.WithTracerProvider(provider))
		r := newRequest(b)
		res, err := t.RoundTrip(r)
		if err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, 32<<10)
		for err == nil {
			_, err = res.Body.Read(buf)
		}
	})
	b.Run("handler", func(b *testing.B) {
		b.ReportAllocs()
		chunk := []byte(event)
		h := genaihttp.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			flush := w.(http.Flusher)
			for range b.N {
				_, _ = w.Write(chunk)
				flush.Flush()
			}
		}), genaihttp.WithTracerProvider(provider))
		h.ServeHTTP(&nowhere{header: http.Header{}}, newRequest(b))
	})
}

var mustURL = func() *url.URL {
	u, err := url.Parse("http://localhost:8000/v1/chat/completions")
	if err != nil {
		panic(err)
	}
	return u
}()
