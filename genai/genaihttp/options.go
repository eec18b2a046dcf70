package genaihttp

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/genai"
)

// ScopeName is the instrumentation scope of the spans of this package.
const ScopeName = "forkspan.dev/forkspan/genai/genaihttp"

// Option configures a [Handler] or a [Transport].
type Option interface{ apply(*config) }

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	provider   trace.TracerProvider
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator // nil: the global one
	fields     []string                      // of propagator
	genai      []genai.Option
	extract    []forkspan.ExtractOption
	public     bool
	result     func(context.Context, Result)
	now        func() time.Time
}

func newConfig(opts []Option) *config {
	c := &config{provider: otel.GetTracerProvider(), now: time.Now}
	for _, o := range opts {
		if o != nil {
			o.apply(c)
		}
	}
	c.tracer = c.provider.Tracer(ScopeName)
	if c.propagator != nil {
		c.fields = c.propagator.Fields()
	}
	return c
}

// WithTracerProvider sets where spans go. The default is OpenTelemetry's global provider, which forkspan.Init sets.
func WithTracerProvider(tp trace.TracerProvider) Option {
	return optionFunc(func(c *config) {
		if tp != nil {
			c.provider = tp
		}
	})
}

// WithPropagator sets how the span is written into the headers of requests that are sent on. The default is OpenTelemetry's
// global propagator, which forkspan.Init sets, or W3C trace context and baggage when nobody has set it. Incoming requests are
// read by forkspan.Extract.
func WithPropagator(p propagation.TextMapPropagator) Option {
	return optionFunc(func(c *config) { c.propagator = p })
}

// WithGenAI passes options on to package genai: metrics, decoders of content codings, vLLM's attribute names. Tracer provider
// and span kind are this package's business.
func WithGenAI(opts ...genai.Option) Option {
	return optionFunc(func(c *config) { c.genai = append(c.genai, opts...) })
}

// WithExtract passes options on to forkspan.Extract, which reads the caller's span. [Handler] only.
func WithExtract(opts ...forkspan.ExtractOption) Option {
	return optionFunc(func(c *config) { c.extract = append(c.extract, opts...) })
}

// WithPublicEndpoint starts a trace of its own for each request and links it to the caller's span, for servers whose callers
// are strangers. [Handler] only.
func WithPublicEndpoint() Option {
	return optionFunc(func(c *config) { c.public = true })
}

// Result is what is known of a request when it has ended.
type Result struct {
	Call   genai.Call  // zero for a request that is none to an LLM, or that is recorded by a Transport below
	Marks  genai.Marks // likewise
	Status int         // of the answer; 0 when there was none
	Span   trace.SpanContext
	Err    error // why the request failed on this side of the connection; nil when it was answered, with whatever status
}

// WithResult calls f when a request has ended, once, on the goroutine that ended it. The context is that of the request, with
// its span.
func WithResult(f func(context.Context, Result)) Option {
	return optionFunc(func(c *config) { c.result = f })
}

// WithClock sets the clock that marks are taken from, for tests. The default is time.Now.
func WithClock(now func() time.Time) Option {
	return optionFunc(func(c *config) { c.now = now })
}
