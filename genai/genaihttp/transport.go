package genaihttp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/genai"
)

// transport is the RoundTripper.
type transport struct {
	*config
	base     http.RoundTripper
	recorder *genai.Recorder
}

// Transport returns base, or [http.DefaultTransport] for nil, with a CLIENT span around each request.
//
// The span is a child of the one in the request's context, or else of the one that the environment names. The request goes
// out with exactly one traceparent, the span's. Requests to LLMs (see [genai.DetectAPI]) are recorded by package genai; a
// [Handler] above then leaves that to this span. The span ends when the answer's body was read to its end or closed, when it
// broke off, or with the error of base: a body must be closed, as [http.Client] asks for too. A body that is closed early
// counts as the client's leaving, unless the answer was complete.
//
// Of the body of a request to an LLM, up to 1 MiB is read before base is called. The request can then be sent again by base
// when an idle connection turns out to be dead.
func Transport(base http.RoundTripper, opts ...Option) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	c := newConfig(opts)
	return &transport{
		config: c,
		base:   base,
		recorder: genai.NewRecorder(append(c.genai[:len(c.genai):len(c.genai)],
			genai.WithTracerProvider(c.provider), genai.WithSpanKind(trace.SpanKindClient))...),
	}
}

// RoundTrip sends r.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	c := &call{t: t}
	ctx := forkspan.ParentContext(r.Context())
	api := genai.DetectAPI(r.Method, r.URL.Path)
	received := t.now()
	out := *r // what is sent; r must stay as it is
	if api == genai.APIUnknown {
		buf := attributeBufs.Get().(*[]attribute.KeyValue)
		attrs := clientAttributes((*buf)[:0], r)
		c.ctx, c.span = t.tracer.Start(ctx, method(r), trace.WithSpanKind(trace.SpanKindClient),
			trace.WithTimestamp(received), trace.WithAttributes(attrs...))
		clear(attrs)
		*buf = attrs[:0]
		attributeBufs.Put(buf)
	} else {
		c.above = claim(ctx)
		head, err := readAhead(&out)
		if err != nil {
			return nil, err
		}
		host, port := upstream(r)
		c.req = t.recorder.NewRequest(ctx, genai.RequestInfo{
			Method: r.Method, Path: r.URL.Path, Header: r.Header, Body: head,
			ServerAddress: host, ServerPort: port, Received: received,
		})
		c.ctx, c.span = c.req.Context(), c.req.Span()
	}
	sent := out.WithContext(c.ctx)
	sent.Header = t.withTrace(c.ctx, r.Header)
	res, err := t.base.RoundTrip(sent)
	if err != nil {
		c.end(c.cause(err))
		return res, err
	}
	if res.Request == sent {
		res.Request = r // the one that the caller knows; this one's body may be given back
	}
	c.answer(res)
	return res, nil
}

// readAhead reads the begin of r's body, and makes r send what was read and then the rest. Bodies that were read to their end
// can be sent again. An error has closed the body.
func readAhead(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	b := &body{}
	length := r.ContentLength
	if length == 0 {
		length = -1 // a client's request with a body and no length
	}
	b.reset(r.Body, length)
	b.fill()
	switch b.end {
	case nil:
		r.Body, r.GetBody = b, nil
		return b.ahead, nil
	case io.EOF:
	default:
		return nil, errors.Join(b.end, r.Body.Close())
	}
	if err := r.Body.Close(); err != nil {
		return nil, err
	}
	head := b.ahead
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(head)), nil }
	r.Body, _ = r.GetBody()
	if len(r.Trailer) == 0 {
		r.ContentLength = int64(len(head))
	}
	if len(head) == 0 {
		r.Body, r.GetBody = http.NoBody, nil
	}
	return head, nil
}

// call is one request in a [Transport], with its answer.
type call struct {
	t    *transport
	ctx  context.Context
	span trace.Span
	req  *genai.Request // nil for a request that is none to an LLM
	body responseBody

	above  *exchange // of a Handler; nil without one
	status int       // of the answer; 0 before it
}

// answer takes the answer: its header now, its body while it is read.
func (c *call) answer(res *http.Response) {
	c.status = res.StatusCode
	if c.req != nil {
		c.req.ResponseHeader(c.status, res.Header, c.t.now())
	}
	if c.req == nil && c.span.IsRecording() {
		c.span.SetAttributes(keyStatus.Int(res.StatusCode))
		if res.StatusCode >= http.StatusBadRequest {
			c.span.SetAttributes(keyErrorType.String(strconv.Itoa(res.StatusCode)))
			c.span.SetStatus(codes.Error, "")
		}
	}
	if res.Body == nil || res.Body == http.NoBody {
		c.end(nil)
		return
	}
	c.body = responseBody{src: res.Body, c: c, left: res.ContentLength}
	if writer, ok := res.Body.(io.Writer); ok { // an upgraded connection
		res.Body = struct {
			*responseBody
			io.Writer
		}{&c.body, writer}
		return
	}
	res.Body = &c.body
}

// cause says whether an error comes from the request's own context: transports wrap it, or hide it behind a cause.
func (c *call) cause(err error) error {
	switch c.ctx.Err() {
	case context.Canceled:
		return genai.ErrClientGone
	case context.DeadlineExceeded:
		return genai.ErrTimeout
	}
	switch {
	case c.status == 0 && errors.Is(err, io.EOF):
		return genai.ErrUpstreamUnreachable // an idle connection that was closed, say
	case c.status != 0 && c.req == nil:
		return genai.ErrUpstreamCut
	}
	return err
}

// end ends the span. It is called once.
func (c *call) end(err error) {
	at := c.t.now()
	result := Result{Status: c.status, Span: c.span.SpanContext(), Err: err}
	if c.req != nil {
		c.req.EndAt(err, at)
		result.Call, result.Marks = c.req.Call(), c.req.Marks()
		if c.above != nil && c.status != 0 && result.Call.ErrorType == "" {
			c.above.whole.Store(true)
		}
	} else {
		if err != nil {
			kind := errorType(err)
			c.span.SetAttributes(keyErrorType.String(kind))
			c.span.SetStatus(codes.Error, kind)
		}
		c.span.End(trace.WithTimestamp(at))
	}
	if c.t.result != nil {
		c.t.result(c.ctx, result)
	}
}
