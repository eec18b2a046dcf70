package genaihttp_test

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/goleak"

	"forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/genai"
	"forkspan.dev/forkspan/genai/genaihttp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits for events that are sure to come; it is no measure of anything.
const patience = time.Minute

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

const (
	chatPath   = "/v1/chat/completions"
	chatBody   = `{"model":"fake-model","messages":[{"role":"user","content":"hi"}]}`
	streamBody = `{"model":"fake-model","stream":true,"messages":[{"role":"user","content":"hi"}]}`
)

// chain is a client, a ReverseProxy with the middleware and the transport, and a fake server.
type chain struct {
	upstream *forkspantest.ModelServer
	spans    *forkspantest.Recorder
	client   *http.Client
	url      string // of the gateway
}

// kind is where the chain observes.
type kind int

const (
	both           kind = iota
	middlewareOnly      // a user's own ReverseProxy with a bare transport behind the middleware
	transportOnly
)

func newChain(t testing.TB, k kind, opts ...genaihttp.Option) *chain {
	t.Helper()
	upstream := forkspantest.NewModelServer(t)
	c := newChainTo(t, k, upstream.URL(), opts...)
	c.upstream = upstream
	return c
}

// newChainTo is newChain with another server.
func newChainTo(t testing.TB, k kind, server string, opts ...genaihttp.Option) *chain {
	t.Helper()
	c := &chain{spans: forkspantest.NewRecorder(), client: &http.Client{}}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(c.spans))
	opts = append([]genaihttp.Option{genaihttp.WithTracerProvider(provider)}, opts...)
	base := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	reverse := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		FlushInterval: -1,
		Transport:     base,
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	var handler http.Handler = reverse
	if k != middlewareOnly {
		reverse.Transport = genaihttp.Transport(base, opts...)
	}
	if k != transportOnly {
		handler = genaihttp.Handler(reverse, opts...)
	}
	gateway := httptest.NewUnstartedServer(handler)
	gateway.Config.ErrorLog = log.New(io.Discard, "", 0)
	gateway.Start()
	c.url = gateway.URL
	clientTransport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	c.client.Transport = clientTransport
	t.Cleanup(func() {
		clientTransport.CloseIdleConnections()
		gateway.Close()
		base.CloseIdleConnections()
	})
	return c
}

func (c *chain) request(ctx context.Context, t testing.TB, path, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	return r
}

// post sends a request and returns the answer with its whole body.
func (c *chain) post(t testing.TB, path, body string) (*http.Response, []byte) {
	t.Helper()
	res, err := c.client.Do(c.request(patient(t), t, path, body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, got
}

// wait returns the spans when there are n, without those that are derived from what the server reports.
func (c *chain) wait(t testing.TB, n int) []sdktrace.ReadOnlySpan {
	t.Helper()
	for total := n; ; {
		spans, err := c.spans.WaitSpans(patient(t), total)
		if err != nil {
			t.Fatalf("%v\n%s", err, c.spans.Tree())
		}
		all := len(spans)
		spans = slices.DeleteFunc(spans, func(s sdktrace.ReadOnlySpan) bool {
			return attribute(s, genai.AttrDerived) != ""
		})
		if len(spans) >= n {
			return spans
		}
		total = n + all - len(spans)
	}
}

// readUntil reads from an answer until it has seen what it looks for.
func readUntil(t testing.TB, r io.Reader, want string) {
	t.Helper()
	var got bytes.Buffer
	buf := make([]byte, 4096)
	for !bytes.Contains(got.Bytes(), []byte(want)) {
		n, err := r.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			t.Fatalf("read until %q: %v, after %q", want, err, got.String())
		}
	}
}

// attribute returns a span's attribute as text; empty when it has none.
func attribute(s sdktrace.ReadOnlySpan, key string) string {
	for _, kv := range s.Attributes() {
		if string(kv.Key) == key {
			return kv.Value.String()
		}
	}
	return ""
}

func withClock(c *forkspantest.Clock) genaihttp.Option { return genaihttp.WithClock(c.Now) }
