package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"forkspan.dev/forkspan/genai"
	"forkspan.dev/forkspan/genai/genaihttp"
)

// Config says what a proxy does. Upstream is needed.
type Config struct {
	Upstream *url.URL
	Sink     Sink      // nil: spans are dropped
	RunID    string    // goes into the spans' resource; may be empty
	AskUsage bool      // ask for usage on streams, on behalf of clients that do not
	Lines    io.Writer // gets one line a request; nil for none
}

// Stats is a proxy's account.
type Stats struct {
	Requests int64 // that have ended
	Failed   int64 // of these, without a complete answer
	Stored   int64 // spans that the sink has taken
	Dropped  int64 // spans that it has not
}

// Proxy is an http.Handler that passes requests on to one server. It is safe for concurrent use.
type Proxy struct {
	handler   http.Handler
	transport *http.Transport
	queue     *queue
	provider  *sdktrace.TracerProvider
	lines     *lines
	requests  atomic.Int64
	failed    atomic.Int64
}

// New returns a proxy. Shutdown must be called. The error is about the environment's resource attributes alone, and the proxy
// is usable with it.
func New(c Config) (*Proxy, error) {
	sink := c.Sink
	if sink == nil {
		sink = discard{}
	}
	p := &Proxy{queue: newQueue(sink), transport: newTransport(), lines: newLines(c.Lines)}
	var err error
	p.provider, err = newProvider(p.queue, c.RunID)
	options := []genaihttp.Option{
		genaihttp.WithTracerProvider(p.provider),
		genaihttp.WithPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})),
		genaihttp.WithGenAI(genai.WithDecoder("br", openBrotli), genai.WithDecoder("zstd", openZstd)),
	}
	upstream := genaihttp.Transport(p.transport, append(options, genaihttp.WithResult(p.sawUpstream))...)
	if c.AskUsage {
		upstream = &usageAsker{next: upstream}
	}
	reverse := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { rewrite(r, c.Upstream) },
		Transport:      upstream,
		FlushInterval:  -1,
		BufferPool:     buffers{},
		ErrorLog:       log.New(io.Discard, "", 0), // the spans and the lines say it
		ModifyResponse: nameTrace,
		ErrorHandler:   fail,
	}
	p.handler = p.account(genaihttp.Handler(reverse, append(options, genaihttp.WithResult(p.sawClient))...))
	return p, err
}

// ServeHTTP passes r on.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) }

// Shutdown hands the last spans to the sink, until ctx ends, and closes the connections upstream that are idle. Requests must
// have ended.
func (p *Proxy) Shutdown(ctx context.Context) error {
	p.transport.CloseIdleConnections()
	return p.provider.Shutdown(ctx)
}

// Stats returns the account so far.
func (p *Proxy) Stats() Stats {
	s := Stats{Requests: p.requests.Load(), Failed: p.failed.Load()}
	s.Stored, s.Dropped = p.queue.counts()
	return s
}

// newTransport returns the connections upstream.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 1024, // all connections go to one host
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
		DisableCompression:  true, // bytes pass as they are
	}
}

// rewrite makes the request for the server. Its Host is the server's; the client's goes into X-Forwarded-Host.
func rewrite(r *httputil.ProxyRequest, upstream *url.URL) {
	query := r.In.URL.RawQuery
	r.SetURL(upstream)
	r.Out.URL.RawQuery = query // as it came: ReverseProxy drops what it cannot parse
	r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
	r.SetXForwarded()
}

// traceIDHeader tells the client which trace its request is in.
const traceIDHeader = "X-Trace-Id"

func nameTrace(res *http.Response) error {
	setTraceID(res.Request.Context(), res.Header)
	return nil
}

func setTraceID(ctx context.Context, header http.Header) {
	if id := trace.SpanContextFromContext(ctx).TraceID(); id.IsValid() {
		header[traceIDHeader] = []string{id.String()}
	}
}

// fail answers a request that the server did not.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // nobody is there to read it
	}
	status, message := http.StatusBadGateway, "the server could not be reached"
	if timeout := net.Error(nil); errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		status, message = http.StatusGatewayTimeout, "the server did not answer in time"
	}
	setTraceID(r.Context(), w.Header())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"error":{"message":"forkspan proxy: %s","type":"proxy_error","code":%d}}`+"\n", message, status)
}

// buffers are those that bodies are copied through.
type buffers struct{}

var bufferPool = sync.Pool{New: func() any { return new([bufferSize]byte) }}

const bufferSize = 32 << 10

func (buffers) Get() []byte { return bufferPool.Get().(*[bufferSize]byte)[:] }

func (buffers) Put(b []byte) { bufferPool.Put((*[bufferSize]byte)(b)) }
