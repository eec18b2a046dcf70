package genaihttp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"forkspan.dev/forkspan/genai"
)

// exchange is one request in a [Handler], with its answer.
type exchange struct {
	h        *handler
	r        *http.Request // as it came
	ctx      context.Context
	span     trace.Span
	api      genai.API
	received time.Time

	// claimed is set by a Transport below that records the request: it is then not recorded twice.
	claimed atomic.Bool
	// whole is set by that Transport when it has seen the answer's last event.
	whole atomic.Bool

	body   body
	duplex bool // the body may still be read while the answer is written, over HTTP/1
	w      writer

	req     *genai.Request // nil until the answer begins, and when the request is not recorded here
	late    bool           // the client had left before the answer began
	pending pieces
}

type exchangeKey struct{}

// claim tells the Handler that ctx comes from, if any, that a Transport records the request. It returns nil if none.
func claim(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	if x != nil {
		x.claimed.Store(true)
	}
	return x
}

// record begins to record the request on the span, unless a Transport does.
func (x *exchange) record() {
	if x.req != nil || x.api == genai.APIUnknown || x.claimed.Load() {
		return
	}
	host, port := hostPort(x.r.Host)
	x.req = x.h.recorder.NewRequest(x.ctx, genai.RequestInfo{
		Method:        x.r.Method,
		Path:          x.r.URL.Path,
		Header:        x.r.Header,
		Body:          x.body.seen(),
		ServerAddress: host,
		ServerPort:    port,
		Received:      x.received,
		Span:          x.span,
	})
}

// answer takes the answer's header, before it is sent.
func (x *exchange) answer(status int, header http.Header) {
	x.late = x.r.Context().Err() != nil
	if x.late {
		return
	}
	x.record()
	if x.req != nil {
		x.req.ResponseHeader(status, header, x.h.now())
	}
}

// observes reports whether the bytes of the answer are looked at.
func (x *exchange) observes() bool { return x.req != nil }

// before returns the time of the bytes that are about to be sent.
func (x *exchange) before() time.Time {
	if x.req == nil {
		return time.Time{}
	}
	return x.h.now()
}

// chunk takes bytes that have just been written.
func (x *exchange) chunk(p []byte, at time.Time) {
	if x.req == nil {
		return
	}
	x.pending.settle(x.req)
	x.pending.put(x.req, p, at)
}

// settle looks at what has gone out, when it is due.
func (x *exchange) settle() {
	if x.req != nil {
		x.pending.settle(x.req)
	}
}

// errPanic is what a handler's own panic counts as.
var errPanic = errors.New("panic")

// failure says how the exchange failed, when the handler has returned or panicked with p; nil when it was answered.
func (x *exchange) failure(p any) error {
	left := x.r.Context().Err()
	switch {
	case errors.Is(left, context.DeadlineExceeded) && (p != nil || x.late || x.w.status == 0):
		return genai.ErrTimeout
	case x.w.err != nil:
		return genai.ErrClientGone
	case left != nil && x.whole.Load():
		return nil // it waited for the end of the connection only
	case left != nil && (p != nil || x.late || x.w.status == 0):
		return genai.ErrClientGone
	case p == nil:
		return nil
	case p == http.ErrAbortHandler:
		return genai.ErrUpstreamCut
	}
	return errPanic
}

// finish ends the span, once, after the handler; p is what it panicked with, pattern the one that a ServeMux below has found.
func (x *exchange) finish(pattern string, p any) {
	err := x.failure(p)
	status := x.w.status
	if x.late {
		status = 0 // nobody has seen it
	}
	if status == 0 && err == nil {
		status = http.StatusOK // what net/http sends for a handler that writes nothing
		x.answer(status, x.w.Header())
	}
	x.record() // a request that got no answer, too
	x.describe(status, pattern)
	if errors.Is(err, errPanic) {
		x.span.AddEvent("exception", trace.WithAttributes(attribute.String("exception.type", fmt.Sprintf("%T", p))))
	}
	result := Result{Status: status, Span: x.span.SpanContext(), Err: err}
	end := x.h.now()
	if x.req != nil {
		x.pending.flush(x.req)
		x.req.EndAt(err, end)
		result.Call, result.Marks = x.req.Call(), x.req.Marks()
	} else {
		x.fail(status, err)
		x.span.End(trace.WithTimestamp(end))
	}
	if x.h.result != nil {
		x.h.result(x.ctx, result)
	}
}

// describe adds what only the end tells.
func (x *exchange) describe(status int, pattern string) {
	if !x.span.IsRecording() {
		return
	}
	var attrs [3]attribute.KeyValue
	a := attrs[:0]
	if status != 0 {
		a = append(a, keyStatus.Int(status))
	}
	if x.w.written > 0 {
		a = append(a, keyBodySize.Int64(x.w.written))
	}
	if pattern != x.r.Pattern {
		a = append(a, keyRoute.String(route(pattern)))
		if x.req == nil {
			x.span.SetName(method(x.r) + " " + route(pattern))
		}
	}
	x.span.SetAttributes(a...)
}

// fail sets the outcome of a span that no recorder writes on, by the HTTP conventions for servers: answers below 500 are no
// errors of the server.
func (x *exchange) fail(status int, err error) {
	switch {
	case err != nil:
		kind := errorType(err)
		x.span.SetAttributes(keyErrorType.String(kind))
		x.span.SetStatus(codes.Error, kind)
	case status >= http.StatusInternalServerError:
		x.span.SetAttributes(keyErrorType.String(strconv.Itoa(status)))
		x.span.SetStatus(codes.Error, http.StatusText(status))
	}
}

// errorType is the error.type of a request that got no answer, or not all of it.
func errorType(err error) string {
	switch {
	case errors.Is(err, genai.ErrClientGone):
		return genai.ErrorTypeClientGone
	case errors.Is(err, genai.ErrTimeout):
		return genai.ErrorTypeTimeout
	case errors.Is(err, genai.ErrUpstreamCut):
		return genai.ErrorTypeUpstreamCut
	case errors.Is(err, errPanic):
		return "panic"
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return genai.ErrorTypeTimeout
	}
	return genai.ErrorTypeUpstreamUnreachable
}

// pieces are bytes that have been passed on and not been looked at yet. Several are looked at in one go: by then the recorder
// of a slow stream has left the processor's caches, and fetching it costs more than reading a token.
type pieces struct {
	data  []byte
	parts []part
	first [2]part
}

// part is what went at once.
type part struct {
	size int
	at   time.Time
}

const (
	// maxPiece is the size above which bytes are looked at at once: copying them would cost as much.
	maxPiece = 64 << 10
	// From this many bytes or parts on, they are due.
	dueBytes = 4 << 10
	dueParts = 16
)

// put keeps p, which went at a time.
func (c *pieces) put(req *genai.Request, p []byte, at time.Time) {
	if len(p) > maxPiece {
		c.flush(req)
		req.Chunk(p, at)
		return
	}
	if c.parts == nil {
		c.parts = c.first[:0]
	}
	c.data, c.parts = append(c.data, p...), append(c.parts, part{len(p), at})
}

// settle looks at what is kept if it is due.
func (c *pieces) settle(req *genai.Request) {
	if len(c.data) >= dueBytes || len(c.parts) >= dueParts {
		c.flush(req)
	}
}

// flush looks at what is kept.
func (c *pieces) flush(req *genai.Request) {
	data := c.data
	for _, p := range c.parts {
		req.Chunk(data[:p.size], p.at)
		data = data[p.size:]
	}
	c.data, c.parts = c.data[:0], c.parts[:0]
}
