package forkspan

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"forkspan.dev/forkspan/internal/redact"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// noopSpan is what disabled calls return; a variable, since making an interface of it would allocate.
var noopSpan trace.Span = noop.Span{}

// Start starts a span as a child of the span in ctx, or else of the one that the environment names (see [ParentContext]).
// It returns a context with the span in it. End the span with a deferred [End]:
//
//	func (l *Loader) Load(ctx context.Context) (err error) {
//		ctx, span := forkspan.Start(ctx, "Load model")
//		defer forkspan.End(span, &err)
//
// The span gets code.function, code.namespace, code.filepath and code.lineno (a string, as in vLLM) of the line that
// calls Start; with OTEL_SEMCONV_STABILITY_OPT_IN=code the stable names instead, with code/dup both. Attributes of the
// caller win over these. All of them are known to the sampler, except that a sampler that has not said yes beforehand,
// such as a ratio for a root span, decides without code.*.
//
// While tracing is disabled Start returns ctx and a span that does nothing, without allocating.
func Start(ctx context.Context, name string, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	t := active.Load()
	if t == nil {
		return ctx, noopSpan
	}
	return t.begin(ctx, name, attrs, nil, 1)
}

// Start is [Start] with this tracer.
func (t *Tracer) Start(ctx context.Context, name string, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	if t.off() {
		return ctx, noopSpan
	}
	return t.begin(ctx, name, attrs, nil, 1)
}

// StartWith is [Start] with OpenTelemetry's options: kind, links, start time, new root.
func StartWith(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	t := active.Load()
	if t == nil {
		return ctx, noopSpan
	}
	return t.beginWith(ctx, name, slices.Clone(opts), 1)
}

// StartWith is [StartWith] with this tracer.
func (t *Tracer) StartWith(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	if t.off() {
		return ctx, noopSpan
	}
	return t.beginWith(ctx, name, slices.Clone(opts), 1)
}

// Do calls fn in a span, with [Start]'s rules for its parent and attributes and [End]'s for its outcome. The context that
// fn gets holds the span. Do returns fn's error.
func Do(ctx context.Context, name string, fn func(context.Context) error, attrs ...attribute.KeyValue) (err error) {
	t := active.Load()
	if t == nil {
		return fn(ctx)
	}
	ctx, span := t.begin(ctx, name, attrs, nil, 1)
	defer t.End(span, &err)
	return fn(ctx)
}

// Do is [Do] with this tracer.
func (t *Tracer) Do(ctx context.Context, name string, fn func(context.Context) error,
	attrs ...attribute.KeyValue) (err error) {
	if t.off() {
		return fn(ctx)
	}
	ctx, span := t.begin(ctx, name, attrs, nil, 1)
	defer t.End(span, &err)
	return fn(ctx)
}

// Wrap returns fn with a span around each call, by the rules of [Do]. The code.* attributes are those of fn's
// declaration; for a method value (x.Load), file and line are those of the call of Wrap. An empty name means fn's own, as
// vLLM's decorator takes it.
//
// It uses the tracer of the last [Init] at the time of the call, so that functions may be wrapped before it.
func Wrap[In, Out any](name string, fn func(context.Context, In) (Out, error),
	attrs ...attribute.KeyValue) func(context.Context, In) (Out, error) {
	at, own := siteOf(fn, 1)
	if name == "" {
		name = own
	}
	attrs = slices.Clone(attrs)
	return func(ctx context.Context, in In) (out Out, err error) {
		t := active.Load()
		if t == nil {
			return fn(ctx, in)
		}
		ctx, span := t.begin(ctx, name, attrs, at, 0)
		defer t.End(span, &err)
		return fn(ctx, in)
	}
}

// End ends a span that [Start] began. It has to be the deferred function itself, since it calls recover:
//
//	defer forkspan.End(span, &err)
//
// A non-nil error in errp becomes an exception event and the status Error with "type: message". It is the error that the
// function returns only if its result is named; without a named result, the error is missed. errp may be nil.
//
// What looks like a secret in the message, such as a key or a password in a URL, is hidden, and more than 16 KiB of it are
// cut off.
//
// A panic becomes an exception event with its stack, and the status Error; it then goes on with the same value.
// [http.ErrAbortHandler] is not an error. A function that runtime.Goexit leaves ends its span like one that returns.
//
// A nil span is fine, and ending twice does nothing.
func End(span trace.Span, errp *error) {
	if span == nil || !span.IsRecording() {
		return
	}
	r := recover()
	finish(active.Load(), span, errp, r)
	if r != nil {
		panic(r)
	}
}

// End is [End] with this tracer's settings.
func (t *Tracer) End(span trace.Span, errp *error) {
	if span == nil || !span.IsRecording() {
		return
	}
	r := recover()
	finish(t, span, errp, r)
	if r != nil {
		panic(r)
	}
}

// finish records the outcome, a panic's value r or the error behind errp, and ends the span.
func finish(t *Tracer, span trace.Span, errp *error, r any) {
	events := t == nil || !t.noExceptionEvents
	switch {
	case r == http.ErrAbortHandler: // net/http compares it like this too, and errors.Is calls code that may panic
	case r != nil:
		fail(span, r, events, stack())
	case errp != nil && *errp != nil:
		fail(span, *errp, events, "")
	}
	span.End()
}

// fail marks the span as failed now with v, an error or the value of a panic.
func fail(span trace.Span, v any, event bool, stack string) {
	failAt(span, v, event, stack, time.Now())
}

func failAt(span trace.Span, v any, event bool, stack string, at time.Time) {
	// fmt, unlike a call of Error, survives methods that panic.
	kind, message := fmt.Sprintf("%T", v), redact.String(shorten(fmt.Sprint(v)))
	if event {
		attrs := []attribute.KeyValue{
			attribute.String("exception.type", kind),
			attribute.String("exception.message", message),
		}
		if stack != "" {
			attrs = append(attrs, attribute.String("exception.stacktrace", stack))
		}
		span.AddEvent("exception", trace.WithTimestamp(at), trace.WithAttributes(attrs...))
	}
	span.SetStatus(codes.Error, kind+": "+message)
}

// maxText bounds a recorded message or stack, in bytes.
const maxText = 16 << 10

func stack() string {
	s := debug.Stack()
	return string(s[:min(len(s), maxText)])
}

// shorten cuts a message that is too long: before the last word, so that no part of a secret is left that cannot be
// recognised as one.
func shorten(s string) string {
	if len(s) <= maxText {
		return s
	}
	s = s[:maxText]
	if i := strings.LastIndexAny(s, " \t\n"); i > 0 {
		s = s[:i]
	}
	return strings.ToValidUTF8(s, "") + " …"
}
