package forkspan

import (
	"context"
	"slices"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// startBuf is what one call of Start needs while it lasts. The SDK copies attributes and options, so it is used again.
// attrs never escape from Start's caller this way, and its disabled calls need not allocate them.
type startBuf struct {
	attrs []attribute.KeyValue
	opts  []trace.SpanStartOption
}

var startBufs = sync.Pool{New: func() any { return &startBuf{} }}

func (b *startBuf) release() {
	clear(b.attrs)
	clear(b.opts)
	b.attrs, b.opts = b.attrs[:0], b.opts[:0]
	startBufs.Put(b)
}

// parent returns the context to start a span in, the span context of its parent, and the links of a new root.
func (t *Tracer) parent(ctx context.Context) (context.Context, trace.SpanContext, []trace.Link) {
	if ctx == nil {
		ctx = context.Background()
	}
	sc := trace.SpanContextFromContext(ctx)
	if sc.IsValid() {
		return ctx, sc, nil
	}
	if mark := newRootMark(ctx); mark != nil {
		return ctx, sc, mark.links
	}
	if p := environmentParent(); p != nil {
		return trace.ContextWithSpan(ctx, p.span), p.sc, nil
	}
	return ctx, sc, nil
}

// begin starts a span. The call site is at, or where that is nil the function that is skip frames above the caller.
func (t *Tracer) begin(ctx context.Context, name string, attrs []attribute.KeyValue, at *site, skip int) (
	context.Context, trace.Span) {
	ctx, parent, links := t.parent(ctx)
	guess := t.predict.of(parent)
	if guess == unsampled {
		return t.tracer.Start(ctx, name)
	}
	if at == nil {
		at = t.siteFor(guess, skip+1)
	}
	if guess == sampled && len(attrs) == 0 && len(links) == 0 {
		return t.tracer.Start(ctx, name, at.named[t.names].opts...)
	}
	buf := startBufs.Get().(*startBuf)
	if guess == sampled {
		buf.attrs = append(buf.attrs, at.named[t.names].attrs...)
	}
	buf.attrs = append(buf.attrs, attrs...)
	buf.opts = append(buf.opts, trace.WithAttributes(buf.attrs...))
	if len(links) > 0 {
		buf.opts = append(buf.opts, trace.WithLinks(links...))
	}
	ctx, span := t.tracer.Start(ctx, name, buf.opts...)
	if guess == undecided && span.IsRecording() {
		if at == nil {
			at = sites.caller(skip + 1)
		}
		span.SetAttributes(without(at.named[t.names].attrs, attrs)...)
	}
	buf.release()
	return ctx, span
}

// siteFor looks the call site up only for a span that is sure to be sampled; others wait for the sampler's word.
func (t *Tracer) siteFor(guess decision, skip int) *site {
	if guess != sampled {
		return nil
	}
	return sites.caller(skip + 1)
}

// without returns attrs except those that the caller has given as well, since what is set last wins.
func without(attrs, given []attribute.KeyValue) []attribute.KeyValue {
	same := func(key attribute.Key) bool {
		return slices.ContainsFunc(given, func(g attribute.KeyValue) bool { return g.Key == key })
	}
	if !slices.ContainsFunc(given, func(g attribute.KeyValue) bool { return strings.HasPrefix(string(g.Key), "code.") }) {
		return attrs
	}
	return slices.DeleteFunc(slices.Clone(attrs), func(a attribute.KeyValue) bool { return same(a.Key) })
}

// beginWith is begin with OpenTelemetry's options.
func (t *Tracer) beginWith(ctx context.Context, name string, opts []trace.SpanStartOption, skip int) (
	context.Context, trace.Span) {
	config := trace.NewSpanStartConfig(opts...)
	var parent trace.SpanContext
	if !config.NewRoot() {
		var links []trace.Link
		ctx, parent, links = t.parent(ctx)
		if len(links) > 0 {
			opts = append(opts, trace.WithLinks(links...))
		}
	}
	guess := t.predict.of(parent)
	if guess == sampled {
		code := sites.caller(skip + 1).named[t.names].opts
		return t.tracer.Start(ctx, name, slices.Concat(code, opts)...)
	}
	ctx, span := t.tracer.Start(ctx, name, opts...)
	if guess == undecided && span.IsRecording() {
		at := sites.caller(skip + 1)
		span.SetAttributes(without(at.named[t.names].attrs, config.Attributes())...)
	}
	return ctx, span
}
