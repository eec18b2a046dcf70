package genai

import (
	"context"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Request is one request that is under way, and its span. Its methods may be called from several goroutines, but the bytes of
// a body must come in order. No method fails, blocks on the network or keeps what it is given.
type Request struct {
	rec  *Recorder
	api  API
	ctx  context.Context
	span trace.Span

	mu    sync.Mutex
	call  Call
	marks Marks
	ended bool
}

// NewRequest starts the span of a request, a child of the span in ctx. End must be called.
//
// The span is named "{operation} {model}", such as "chat llama3.2". Without a model in the body that is known so far the name
// is completed when the rest of the body, or the answer, tells it.
func (rec *Recorder) NewRequest(ctx context.Context, info RequestInfo) *Request {
	r := &Request{rec: rec, api: DetectAPI(info.Method, info.Path)}
	r.marks.Received = orNow(info.Received)
	r.ctx, r.span = rec.tracer.Start(ctx, "request", trace.WithSpanKind(rec.kind), trace.WithTimestamp(r.marks.Received))
	return r
}

// Context returns the context that carries the request's span: what is sent upstream is its child.
func (r *Request) Context() context.Context { return r.ctx }

// Span returns the request's span, for attributes of your own. Do not end it.
func (r *Request) Span() trace.Span { return r.span }

// API returns what kind of request it is.
func (r *Request) API() API { return r.api }

// RequestBody takes the next bytes of the request's body, for doors where the body passes after the request has begun. It is
// understood when the answer's header comes, at the latest.
func (r *Request) RequestBody(p []byte) {}

// ResponseHeader takes status and header of the answer. Informational answers (1xx) are ignored. When it is called again, as
// after a retry, the last one counts.
func (r *Request) ResponseHeader(status int, header http.Header, at time.Time) {}

// Chunk takes the next bytes of the answer's body, as they came on the wire (still in their Content-Encoding), split anyhow.
// p is not kept and not changed.
func (r *Request) Chunk(p []byte, at time.Time) {}

// End ends the span, now. The first call counts, further ones do nothing. With a nil error (or io.EOF) the answer was read to
// its end, and the span fails if status, events or a missing end say so; otherwise the error says how it failed, see
// [ErrClientGone]. A client that leaves after the answer's last event has not failed.
func (r *Request) End(err error) { r.EndAt(err, time.Time{}) }

// EndAt is End at a given time; the zero time is now.
func (r *Request) EndAt(err error, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	r.ended = true
	r.marks.End = orNow(at)
	r.span.End(trace.WithTimestamp(r.marks.End))
}

// Marks returns the marks so far.
func (r *Request) Marks() Marks {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.marks
}

// Call returns what is known of the request so far. It is complete after End.
func (r *Request) Call() Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.call
}

func orNow(t time.Time) time.Time {
	if t.IsZero() {
		return time.Now()
	}
	return t
}
