package genai

import (
	"context"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Request is one request that is under way, and its span. Its methods may be called from several goroutines, but the bytes of
// a body must come in order. No method fails, blocks on the network or keeps what it is given.
type Request struct {
	rec     *Recorder
	api     API
	ctx     context.Context
	span    trace.Span
	method  string
	path    string
	address string
	port    int

	mu       sync.Mutex
	marks    Marks
	fields   requestFields
	body     []byte // of the request, not yet understood
	bodyDone bool   // nothing more is read of it
	provider string
	answer   *answer // nil before the first byte, and after the end
	result   result
	call     Call
	ended    bool
}

// RequestInfo is what is known of a request when it arrives. Everything is optional, but without method and path no answer is
// understood. Header and Body are not kept.
type RequestInfo struct {
	Method        string
	Path          string               // of the URL, without query
	Header        http.Header          // of the request
	Body          []byte               // as much as is known; the rest may follow through Request.RequestBody
	ServerAddress string               // of the upstream: host name, IP address or path of a socket
	ServerPort    int                  // 0: not known
	Received      time.Time            // zero: now
	Attributes    []attribute.KeyValue // further ones of the span
	// Span is a span that is there already, to record on rather than to start one: it gets name and attributes of the request
	// and keeps its kind and start. End ends it. Samplers have not seen the attributes.
	Span trace.Span
}

// NewRequest starts the span of a request, a child of the span in ctx. End must be called.
//
// The span is named "{operation} {model}", such as "chat llama3.2". Without a model in the body that is known so far the name
// is completed when the rest of the body, or the answer, tells it.
func (rec *Recorder) NewRequest(ctx context.Context, info RequestInfo) *Request {
	r := &Request{
		rec: rec, api: DetectAPI(info.Method, info.Path),
		method: info.Method, path: info.Path, address: info.ServerAddress, port: info.ServerPort,
	}
	r.marks.Received = orNow(info.Received)
	r.provider = r.startProvider()
	encoding := info.Header.Get("Content-Encoding")
	r.bodyDone = encoding != "" && encoding != "identity" || r.api == APIUnknown
	if len(info.Body) > 0 && !r.bodyDone {
		r.bodyDone = r.fields.read(info.Body[:min(len(info.Body), MaxRequestBody)]) || len(info.Body) >= MaxRequestBody
		if !r.bodyDone {
			r.keepBody(info.Body) // the rest may follow
		}
	}
	var buf [16]attribute.KeyValue
	title, attributes := r.spanName(r.fields.model), append(r.startAttributes(buf[:0]), info.Attributes...)
	if info.Span != nil {
		r.ctx, r.span = trace.ContextWithSpan(ctx, info.Span), info.Span
		r.span.SetName(title)
		r.span.SetAttributes(attributes...)
		return r
	}
	r.ctx, r.span = rec.tracer.Start(ctx, title, rec.kind,
		trace.WithTimestamp(r.marks.Received), trace.WithAttributes(attributes...))
	return r
}

// startProvider returns what is known of the provider before there is an answer.
func (r *Request) startProvider() string {
	if r.rec.provider != "" {
		return r.rec.provider
	}
	return apis[r.api].provider
}

// Context returns the context that carries the request's span: what is sent upstream is its child.
func (r *Request) Context() context.Context { return r.ctx }

// Span returns the request's span, for attributes of your own. Do not end it.
func (r *Request) Span() trace.Span { return r.span }

// API returns what kind of request it is.
func (r *Request) API() API { return r.api }

// RequestBody takes the next bytes of the request's body, for doors where the body passes after the request has begun; those
// given as [RequestInfo].Body are not given again. They are understood when the answer's header comes, at the latest.
func (r *Request) RequestBody(p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.bodyDone && !r.ended {
		r.keepBody(p)
	}
}

func (r *Request) keepBody(p []byte) {
	r.body = append(r.body, p[:min(len(p), MaxRequestBody-len(r.body))]...)
}

// readBody understands the body that came after the span had started.
func (r *Request) readBody() {
	if r.bodyDone {
		return
	}
	r.bodyDone = true
	if len(r.body) == 0 {
		return
	}
	r.fields.read(r.body)
	r.body = nil
	if !r.span.IsRecording() {
		return
	}
	if r.fields.model != "" {
		r.span.SetName(r.spanName(r.fields.model))
	}
	var buf [16]attribute.KeyValue
	r.span.SetAttributes(r.startAttributes(buf[:0])...)
}

// ResponseHeader takes status and header of the answer. Informational answers (1xx) are ignored. When it is called again, as
// after a retry, only the last answer counts.
func (r *Request) ResponseHeader(status int, header http.Header, at time.Time) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		return
	}
	a := newAnswer(r, header)
	r.mu.Lock()
	if r.ended {
		r.mu.Unlock()
		a.abandon()
		return
	}
	r.readBody()
	earlier := r.answer
	r.answer = a
	r.marks = Marks{Received: r.marks.Received, Headers: orNow(at)}
	r.result = result{status: status, answered: true}
	if a.unreadable {
		r.result.unparsed++
	}
	if r.rec.provider == "" {
		if p := providerOf(header); p != "" {
			r.provider = p
		}
	}
	r.mu.Unlock()
	if earlier != nil {
		earlier.abandon()
	}
}

// Chunk takes the next bytes of the answer's body, as they came on the wire (still in their Content-Encoding), split anyhow.
// p is not kept and not changed.
func (r *Request) Chunk(p []byte, at time.Time) {
	if len(p) == 0 {
		return
	}
	r.mu.Lock()
	if r.ended {
		r.mu.Unlock()
		return
	}
	if r.answer == nil {
		r.readBody()
		r.answer = newAnswer(r, nil)
	}
	a := r.answer
	a.at = orNow(at)
	if a.decoding == nil {
		a.take(p)
		r.mu.Unlock()
		return
	}
	r.mu.Unlock()
	a.decoding.write(p) // its goroutine takes the lock
}

// End ends the span, now. The first call counts, further ones do nothing. With a nil error (or io.EOF) the answer was read to
// its end, and the span fails if status, events or a missing end say so; otherwise the error says how it failed, see
// [ErrClientGone]. A client that leaves after the answer's last event has not failed.
func (r *Request) End(err error) { r.EndAt(err, time.Time{}) }

// EndAt is End at a given time; the zero time is now.
func (r *Request) EndAt(err error, at time.Time) {
	at = orNow(at)
	r.mu.Lock()
	if r.ended {
		r.mu.Unlock()
		return
	}
	r.ended = true
	a := r.answer
	r.mu.Unlock()

	whole := true
	if a != nil && a.decoding != nil {
		whole = a.decoding.close()
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	r.readBody()
	if a != nil {
		if !whole {
			r.result.unparsed++
		}
		a.close(errorType(err, r.result.answered) == "")
		r.answer = nil
	}
	r.marks.End = at
	r.call = r.makeCall(r.result.errorType(err))
	r.write()
	if r.rec.metrics != nil {
		r.rec.metrics.record(context.WithoutCancel(r.ctx), &r.call)
	}
	r.span.End(trace.WithTimestamp(at))
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
	if r.ended && !r.marks.End.IsZero() {
		return r.call
	}
	return r.makeCall("")
}

func orNow(t time.Time) time.Time {
	if t.IsZero() {
		return time.Now()
	}
	return t
}
