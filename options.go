package forkspan

import (
	"crypto/tls"
	"maps"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Option changes what [Init], [InitWorker] or [NewExporter] take from the environment. An option goes before the
// signal-specific variable, that before the general variable, that before the default.
type Option interface{ apply(*settings) }

type optionFunc func(*settings)

func (f optionFunc) apply(s *settings) { f(s) }

// settings are the options of one call. Zero values mean: ask the environment.
type settings struct {
	endpoint    string
	protocol    string
	headers     map[string]string
	tls         *tls.Config
	timeout     time.Duration
	compression string

	exporter   sdktrace.SpanExporter
	processors []sdktrace.SpanProcessor
	noExport   bool
	journal    string // folder; empty for none
	unfinished bool   // export unfinished spans of dead processes too

	sampler     sdktrace.Sampler
	ids         sdktrace.IDGenerator
	propagators []propagation.TextMapPropagator

	serviceName string
	attributes  []attribute.KeyValue
	identity    []attribute.KeyValue // the vllm.* attributes, which win over all others

	keepGlobals       bool
	replaceGlobal     bool
	keepEnvironment   bool
	noExceptionEvents bool
	onError           func(error)

	worker bool // an endpoint or an option is needed; OTEL_TRACES_EXPORTER alone does not enable
}

func newSettings(opts []Option) *settings {
	s := &settings{}
	for _, o := range opts {
		if o != nil {
			o.apply(s)
		}
	}
	return s
}

// WithEndpoint sends spans to endpoint, in any form that [NewExporter] takes.
func WithEndpoint(endpoint string) Option {
	return optionFunc(func(s *settings) { s.endpoint = endpoint })
}

// WithProtocol sets the OTLP protocol: grpc, http/protobuf or http/json.
func WithProtocol(protocol string) Option {
	return optionFunc(func(s *settings) { s.protocol = protocol })
}

// WithHeaders sends headers with every export, in place of those of the environment.
func WithHeaders(headers map[string]string) Option {
	return optionFunc(func(s *settings) { s.headers = maps.Clone(headers) })
}

// WithTLSConfig sets the TLS configuration for endpoints that use TLS, in place of the environment's certificates.
func WithTLSConfig(c *tls.Config) Option {
	return optionFunc(func(s *settings) { s.tls = c.Clone() })
}

// WithTimeout bounds one export, its retries included. The default is 10 s.
func WithTimeout(d time.Duration) Option {
	return optionFunc(func(s *settings) { s.timeout = d })
}

// WithCompression sets the compression of exports: gzip or none, the default.
func WithCompression(name string) Option {
	return optionFunc(func(s *settings) { s.compression = name })
}

// WithExporter sends spans, in batches, to e instead of where the environment says. It enables tracing by itself, and
// writes no endpoint into the environment. [Tracer.Shutdown] shuts e down.
func WithExporter(e sdktrace.SpanExporter) Option {
	return optionFunc(func(s *settings) { s.exporter = e })
}

// WithSpanProcessor adds p to the processors of all spans, beside the export. It enables tracing by itself.
// [Tracer.Shutdown] shuts p down. May be given several times.
func WithSpanProcessor(p sdktrace.SpanProcessor) Option {
	return optionFunc(func(s *settings) {
		if p != nil {
			s.processors = append(s.processors, p)
		}
	})
}

// WithoutExport exports nothing whatever the environment says: spans go only to the processors of [WithSpanProcessor].
func WithoutExport() Option {
	return optionFunc(func(s *settings) { s.noExport = true })
}

// WithSampler sets the sampler, in place of OTEL_TRACES_SAMPLER.
func WithSampler(sampler sdktrace.Sampler) Option {
	return optionFunc(func(s *settings) { s.sampler = sampler })
}

// WithIDGenerator sets where trace and span ids come from; for tests that need the same ids on every run.
func WithIDGenerator(g sdktrace.IDGenerator) Option {
	return optionFunc(func(s *settings) { s.ids = g })
}

// WithPropagators sets the propagators of [Extract] and of OpenTelemetry's global propagator, in place of
// OTEL_PROPAGATORS. Environments of child processes always carry W3C trace context and baggage.
func WithPropagators(p ...propagation.TextMapPropagator) Option {
	return optionFunc(func(s *settings) { s.propagators = p })
}

// WithServiceName sets service.name, in place of OTEL_SERVICE_NAME and the module's name.
func WithServiceName(name string) Option {
	return optionFunc(func(s *settings) { s.serviceName = name })
}

// WithResourceAttributes adds attributes to the resource. They win over OTEL_RESOURCE_ATTRIBUTES, but not over the vllm.*
// attributes that [Init] and [InitWorker] set.
func WithResourceAttributes(attrs ...attribute.KeyValue) Option {
	return optionFunc(func(s *settings) { s.attributes = append(s.attributes, attrs...) })
}

// WithoutGlobals leaves OpenTelemetry's global tracer provider and propagator alone.
func WithoutGlobals() Option {
	return optionFunc(func(s *settings) { s.keepGlobals = true })
}

// WithReplaceGlobal replaces a global tracer provider or propagator that somebody else has set. [Tracer.Shutdown] puts it
// back.
func WithReplaceGlobal() Option {
	return optionFunc(func(s *settings) { s.replaceGlobal = true })
}

// WithoutEnvironment writes nothing into this process's environment. Children then get the endpoint only through
// [Environ], [Command] and [Propagate].
func WithoutEnvironment() Option {
	return optionFunc(func(s *settings) { s.keepEnvironment = true })
}

// WithoutExceptionEvents leaves out the exception event of a failed span; its status still says what went wrong.
func WithoutExceptionEvents() Option {
	return optionFunc(func(s *settings) { s.noExceptionEvents = true })
}

// WithErrorHandler is told what goes wrong after Init: exports that fail, at most one report a minute. The default is
// OpenTelemetry's global error handler. It may be called from any goroutine.
func WithErrorHandler(handle func(error)) Option {
	return optionFunc(func(s *settings) { s.onError = handle })
}

// withIdentity sets resource attributes that nothing overrides.
func withIdentity(attrs ...attribute.KeyValue) Option {
	return optionFunc(func(s *settings) { s.identity = append(s.identity, attrs...) })
}

// asWorker asks for the rules of a worker process, which is traced only when it was told where to send spans.
func asWorker() Option {
	return optionFunc(func(s *settings) { s.worker = true })
}
