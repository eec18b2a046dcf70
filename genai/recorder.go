package genai

import (
	"context"
	"io"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// ScopeName is the instrumentation scope of the spans and metrics of this package.
const ScopeName = "forkspan.dev/forkspan/genai"

// Bounds of what is kept of a request.
const (
	// MaxRequestBody is how much of a request body is looked at. Give [RequestInfo].Body and [Request.RequestBody] no more
	// than that: what goes beyond is ignored.
	MaxRequestBody = 1 << 20
	// DefaultMaxEvent is the size, in bytes, up to which an event of a stream, a line of JSON or a whole JSON answer is
	// parsed. Larger ones are counted as unparsed; the default is changed by WithMaxEvent.
	DefaultMaxEvent = 4 << 20
)

// Recorder makes requests. It is made once, and is safe for concurrent use.
type Recorder struct {
	tracer   trace.Tracer
	metrics  *instruments // nil: no metrics
	kind     trace.SpanStartOption
	provider string
	vllm     bool
	maxEvent int
	decoders map[string]Decoder
}

// Decoder opens a content coding: the reader it returns yields the decoded bytes of what is read from r. It is used by one
// goroutine; when it is an io.Closer, it is closed at the end. It should decode as it is read, without goroutines of its own
// that read ahead, or events get later times than they had. Reading from r blocks until the next bytes of the answer.
type Decoder func(r io.Reader) (io.Reader, error)

// Option changes a [Recorder].
type Option interface{ apply(*config) }

type config struct {
	tracers trace.TracerProvider
	meters  metric.MeterProvider
	rec     *Recorder
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

// WithTracerProvider sets where spans go. Default: OpenTelemetry's global provider.
func WithTracerProvider(tp trace.TracerProvider) Option {
	return optionFunc(func(c *config) {
		if tp != nil {
			c.tracers = tp
		}
	})
}

// WithMeterProvider turns on the client metrics of the GenAI conventions. Default: none.
func WithMeterProvider(mp metric.MeterProvider) Option {
	return optionFunc(func(c *config) { c.meters = mp })
}

// WithSpanKind sets the kind of the spans. Default: CLIENT, as the conventions want it.
func WithSpanKind(kind trace.SpanKind) Option {
	return optionFunc(func(c *config) { c.rec.kind = trace.WithSpanKind(kind) })
}

// WithProvider sets gen_ai.provider.name. Default: told by the API (openai, anthropic, llama.cpp, ollama), and corrected where
// the answer names its server (vllm, llama.cpp).
func WithProvider(name string) Option {
	return optionFunc(func(c *config) { c.rec.provider = name })
}

// WithVLLMNames writes the names of vLLM's llm_request span besides the current ones, so that dashboards made for vLLM work.
func WithVLLMNames() Option {
	return optionFunc(func(c *config) { c.rec.vllm = true })
}

// WithDecoder makes answers with the given Content-Encoding ("br", "zstd") readable. Only gzip is known without it, so that
// the library stays light. Answers in an unknown coding pass, and are counted as unparsed.
func WithDecoder(encoding string, open Decoder) Option {
	return optionFunc(func(c *config) {
		if open != nil {
			c.rec.decoders[strings.ToLower(encoding)] = open
		}
	})
}

// WithMaxEvent sets the size in bytes up to which an event is parsed. Default: [DefaultMaxEvent]; 1 KiB at least.
func WithMaxEvent(bytes int) Option {
	return optionFunc(func(c *config) { c.rec.maxEvent = max(bytes, 1<<10) })
}

// NewRecorder returns a recorder.
func NewRecorder(opts ...Option) *Recorder {
	rec := &Recorder{
		kind:     trace.WithSpanKind(trace.SpanKindClient),
		maxEvent: DefaultMaxEvent,
		decoders: map[string]Decoder{"gzip": openGzip, "x-gzip": openGzip},
	}
	c := config{tracers: otel.GetTracerProvider(), rec: rec}
	for _, o := range opts {
		o.apply(&c)
	}
	rec.tracer = c.tracers.Tracer(ScopeName)
	if c.meters != nil {
		rec.metrics = newInstruments(c.meters)
	}
	return rec
}

// NewRequest is [Recorder.NewRequest] for a recorder that is used once. Programs with many requests keep a [Recorder].
func NewRequest(ctx context.Context, info RequestInfo, opts ...Option) *Request {
	return NewRecorder(opts...).NewRequest(ctx, info)
}
