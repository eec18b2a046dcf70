package genaihttp

import (
	"context"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/genai"
)

// handler is the middleware.
type handler struct {
	*config
	next     http.Handler
	recorder *genai.Recorder
}

// Handler returns next with a SERVER span around each request.
//
// The span continues the trace that the caller's headers name, read by [forkspan.Extract]; a request without any is the root
// of a trace of its own, linked to the span that the environment names. The span is in the request's context, and its
// traceparent has taken the place of the caller's in the request's headers, so that a handler that passes them on hands on
// the right parent.
//
// Requests to LLMs (see [genai.DetectAPI]) are recorded on the span by package genai, unless a [Transport] below records them
// on a span of its own. How a request ends is told from what the handler does: it returns; it panics with
// [http.ErrAbortHandler], as a ReverseProxy does when the server upstream breaks off; the client leaves.
//
// The ResponseWriter that next gets has the Flusher, Hijacker, ReaderFrom and Pusher of the one that came in, and works with
// http.ResponseController. WebSocket upgrades pass.
func Handler(next http.Handler, opts ...Option) http.Handler {
	c := newConfig(opts)
	return &handler{
		config: c,
		next:   next,
		recorder: genai.NewRecorder(append(c.genai[:len(c.genai):len(c.genai)],
			genai.WithTracerProvider(c.provider), genai.WithSpanKind(trace.SpanKindServer))...),
	}
}

// attributeBufs hold the attributes of a span's start while it lasts; the SDK copies them.
var attributeBufs = sync.Pool{New: func() any {
	b := make([]attribute.KeyValue, 0, 8)
	return &b
}}

// ServeHTTP serves r with the next handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{h: h, r: r, received: h.now(), api: genai.DetectAPI(r.Method, r.URL.Path)}
	ctx, links := h.parent(r)
	x.ctx, x.span = h.start(ctx, x, links)

	in := r.WithContext(context.WithValue(x.ctx, exchangeKey{}, x))
	in.Header = h.withTrace(x.ctx, r.Header)
	if x.reads() {
		if r.ContentLength < 0 || r.ContentLength > maxBody {
			// Else an answer that comes before the body's end closes the body, and the server upstream is cut off. HTTP/2 needs
			// no such thing, and a writer that is not net/http's may not know it.
			x.duplex = http.NewResponseController(w).EnableFullDuplex() == nil && r.ProtoMajor == 1
		}
		x.body.reset(r.Body, r.ContentLength)
		in.Body = &x.body
	}
	x.w = writer{ResponseWriter: w, x: x}
	returned := false
	defer func() {
		if returned {
			x.finish(in.Pattern, nil)
			return
		}
		// A panic goes on with its value; runtime.Goexit leaves nothing to recover.
		p := recover()
		x.finish(in.Pattern, p)
		if p != nil {
			panic(p)
		}
	}()
	h.next.ServeHTTP(x.w.expose(), in)
	x.leaveBody()
	returned = true
}

// lingerTime is how long a client that has its answer may go on sending before the connection is closed. Closing it at once
// could take the answer's end away from the client; net/http waits as long.
const lingerTime = 500 * time.Millisecond

// leaveBody ends the reading of a body that is still on its way when the answer is complete. In full duplex net/http would take
// what is left of it for the next request if a Read, by the transport of a reverse proxy, were under way now.
func (x *exchange) leaveBody() {
	if !x.duplex || x.body.over.Load() {
		return
	}
	_ = x.w.FlushError()
	_ = http.NewResponseController(x.w.ResponseWriter).SetReadDeadline(time.Now().Add(lingerTime))
	_ = x.body.Close()
}

// reads reports whether the request has a body that is to be read ahead. The bodies of upgraded connections are not.
func (x *exchange) reads() bool {
	return x.r.Body != nil && x.r.Body != http.NoBody && x.r.ContentLength != 0 && x.r.Header.Get("Upgrade") == ""
}

// parent returns the context that the request's span starts in, and its links.
func (h *handler) parent(r *http.Request) (context.Context, []trace.Link) {
	ctx := forkspan.Extract(r.Context(), propagation.HeaderCarrier(r.Header), h.extract...)
	caller := trace.SpanContextFromContext(ctx)
	switch {
	case !caller.IsValid():
		before := trace.SpanContextFromContext(forkspan.ParentContext(r.Context()))
		if before.IsValid() {
			return ctx, []trace.Link{{SpanContext: before}}
		}
	case h.public && caller.IsRemote():
		return trace.ContextWithSpanContext(ctx, trace.SpanContext{}), []trace.Link{{SpanContext: caller}}
	}
	return ctx, nil
}

func (h *handler) start(ctx context.Context, x *exchange, links []trace.Link) (context.Context, trace.Span) {
	buf := attributeBufs.Get().(*[]attribute.KeyValue)
	attrs := serverAttributes((*buf)[:0], x.r, x.api)
	opts := [4]trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindServer),
		trace.WithTimestamp(x.received),
		trace.WithAttributes(attrs...),
	}
	n := 3
	if len(links) > 0 {
		opts[3], n = trace.WithLinks(links...), 4
	}
	ctx, span := h.tracer.Start(ctx, name(x.r, x.api), opts[:n]...)
	clear(attrs)
	*buf = attrs[:0]
	attributeBufs.Put(buf)
	return ctx, span
}
