package forkspan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"forkspan.dev/forkspan/internal/endpoint"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// The variables that hand the way of export on to child processes.
const (
	endpointVar = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	protocolVar = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
)

// ErrInitialised is the error of an [Init] while the tracer of an earlier one is still enabled.
var ErrInitialised = errors.New("tracing is set up already; shut down the first tracer before")

// Init sets tracing up for this process and the processes it starts: exporter, sampler, span limits, propagators and
// resource, from the OTEL_* environment variables and opts. module names the program and is the default service.name.
//
// The Tracer is never nil. Without an endpoint variable, OTEL_TRACES_EXPORTER or an option that says where spans go, and
// with OTEL_SDK_DISABLED=true, it is disabled and there is no error. Settings that cannot be used are each a [ConfigError]
// in the error: an endpoint, protocol or certificate leaves the tracer disabled; for anything else the default is used.
//
// Init
//   - makes the tracer that of the package's functions;
//   - sets OpenTelemetry's global tracer provider and propagator, unless somebody else has: a foreign provider is left
//     alone and named in the error (see [WithReplaceGlobal], [WithoutGlobals]);
//   - writes the endpoint into the environment for children, in a form that every SDK reads, with the protocol beside it
//     (see [WithoutEnvironment]).
//
// Below the command forkspan run, whose FORKSPAN_JOURNAL is in the environment, spans are handed over in files instead, without
// network, each at once: neither a span that has ended nor one that has started is lost with the process. What these files cannot
// take (a full disk, a run that is over) is exported to the endpoint. An option that says where spans go, another endpoint and
// the console exporter go before; so does [WithJournal].
//
// [Tracer.Shutdown] exports the last spans and puts all that back. A second Init before that returns the tracer of the
// first, and [ErrInitialised]; after a disabled one it is no error.
//
// Variables: OTEL_SDK_DISABLED; OTEL_TRACES_EXPORTER (otlp, console, none); OTEL_EXPORTER_OTLP_ENDPOINT, _PROTOCOL,
// _HEADERS, _TIMEOUT, _COMPRESSION, _CERTIFICATE, _CLIENT_CERTIFICATE, _CLIENT_KEY and _INSECURE, each with
// OTEL_EXPORTER_OTLP_TRACES_ before it; OTEL_TRACES_SAMPLER and _ARG; OTEL_PROPAGATORS (tracecontext, baggage, b3,
// b3multi, none); OTEL_SERVICE_NAME; OTEL_RESOURCE_ATTRIBUTES; OTEL_BSP_*; OTEL_SPAN_*_LIMIT, OTEL_EVENT_*_LIMIT,
// OTEL_LINK_*_LIMIT, OTEL_ATTRIBUTE_*_LIMIT; OTEL_SEMCONV_STABILITY_OPT_IN (code, code/dup).
func Init(ctx context.Context, module string, opts ...Option) (*Tracer, error) {
	initMu.Lock()
	defer initMu.Unlock()
	if t := active.Load(); t != nil {
		return t, ErrInitialised
	}
	s := newSettings(opts)
	var r reader
	t := &Tracer{}
	exporter, ok := r.open(ctx, s, t)
	if !ok {
		return t, errors.Join(r.errs...)
	}
	if err := t.start(&r, s, module, exporter); err != nil {
		r.errs = append(r.errs, err)
	}
	return t, errors.Join(r.errs...)
}

// InitWorker is [Init] for a worker process: without an endpoint in its environment, or an option, it is disabled and
// returns no error. kind and name become the resource's vllm.process_kind and vllm.process_name, such as "worker" and
// "Worker_0".
func InitWorker(ctx context.Context, module, kind, name string, opts ...Option) (*Tracer, error) {
	own := []Option{asWorker(), withIdentity(
		attribute.String("vllm.process_kind", kind),
		attribute.String("vllm.process_name", name))}
	return Init(ctx, module, append(own, opts...)...)
}

// open finds out where spans go and opens the way there. A nil exporter with true means that they go to processors only.
func (r *reader) open(ctx context.Context, s *settings, t *Tracer) (sdktrace.SpanExporter, bool) {
	if r.disabled() {
		return nil, false
	}
	if s.exporter != nil {
		return s.exporter, true
	}
	if s.noExport {
		return nil, s.hasProcessors()
	}
	chosen := r.exporters(s)
	console := chosen.console && !s.worker
	otlp := r.hasEndpoint(s) && !chosen.named || chosen.otlp && (!s.worker || r.hasEndpoint(s)) || s.endpoint != ""
	folder := r.runJournal(s, chosen)
	if !otlp && !console && folder == "" {
		return nil, s.hasProcessors()
	}
	var all exporterList
	if otlp {
		c := r.export(s)
		if r.fatal {
			return nil, s.hasProcessors()
		}
		var e sdktrace.SpanExporter
		var err error
		if t.runJournal = openRunJournal(folder); t.runJournal != nil {
			e = &lazyExporter{open: func() (sdktrace.SpanExporter, error) { return newOTLPExporter(context.Background(), c) }}
		} else {
			e, err = newOTLPExporter(ctx, c)
		}
		if err != nil {
			r.errs = append(r.errs, err)
			return nil, s.hasProcessors()
		}
		t.childEndpoint, t.childProtocol = c.endpoint.ForChildren(c.protocol), c.protocol
		if c.protocol == endpoint.JSON {
			t.childProtocol = endpoint.HTTP // vLLM refuses to start on http/json
		}
		all = append(all, e)
	} else if folder != "" {
		t.runJournal = openRunJournal(folder)
		return nil, t.runJournal != nil || s.hasProcessors()
	}
	if console {
		e, err := stdouttrace.New()
		if err != nil {
			r.errs = append(r.errs, fmt.Errorf("create console exporter: %w", err))
		} else {
			all = append(all, e)
		}
	}
	if len(all) == 1 {
		return all[0], true
	}
	return all, len(all) > 0
}

// start builds the provider and makes the tracer the process's.
func (t *Tracer) start(r *reader, s *settings, module string, exporter sdktrace.SpanExporter) error {
	onError := s.onError
	if onError == nil {
		onError = otel.Handle
	}
	var processors []sdktrace.SpanProcessor
	t.journal, exporter = r.openJournal(s, exporter, onError)
	if t.journal != nil {
		processors = append(processors, t.journal) // first: it has to know a span before it is exported
	}
	t.batch = newBatcher(exporter, t.runJournal, r.batchLimits(), onError)
	t.pipeline = &pipeline{processors: append(append(processors, t.batch), s.processors...)}

	sampler := s.sampler
	if sampler != nil {
		t.predict = predictionFor(sampler)
	} else {
		sampler, t.predict = r.sampler()
	}
	ps := s.propagators
	if ps == nil {
		ps = r.propagators()
	}
	t.propagators = &propagatorSet{propagation.NewCompositeTextMapPropagator(ps...)}
	t.names = r.codeNames()
	t.noExceptionEvents = s.noExceptionEvents
	limits, resource := r.limits(), r.resource(s, module)
	var hidden []envChange
	for _, name := range r.noisy {
		hidden = append(hidden, changeEnv(name, "")...)
	}
	t.provider = sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(t.pipeline),
		sdktrace.WithSampler(sampler),
		sdktrace.WithIDGenerator(s.ids),
		sdktrace.WithRawSpanLimits(limits),
		sdktrace.WithResource(resource),
	)
	slices.Reverse(hidden) // a variable may be in it twice
	restoreEnv(hidden)
	t.tracer = t.provider.Tracer(module)

	var err error
	if !s.keepGlobals {
		var g globals
		g, err = installGlobals(t.provider, t.propagators, s.replaceGlobal)
		t.globals = &g
	}
	t.foundEndpoint, t.hadEndpoint = os.LookupEnv(endpointVar)
	if t.childEndpoint != "" && !s.keepEnvironment {
		t.env = changeEnv(endpointVar, t.childEndpoint, protocolVar, t.childProtocol)
	}
	t.live.Store(true)
	active.Store(t)
	return err
}

// envChange is a variable that Init has set, and what was there before.
type envChange struct {
	name, value string
	old         string
	had         bool
}

// changeEnv sets variables, given as name and value in turn.
func changeEnv(pairs ...string) []envChange {
	var changes []envChange
	for i := 0; i < len(pairs); i += 2 {
		c := envChange{name: pairs[i], value: pairs[i+1]}
		c.old, c.had = os.LookupEnv(c.name)
		if os.Setenv(c.name, c.value) == nil {
			changes = append(changes, c)
		}
	}
	return changes
}

// restoreEnv undoes changes, except where somebody has set another value since.
func restoreEnv(changes []envChange) {
	for _, c := range changes {
		switch {
		case os.Getenv(c.name) != c.value:
		case c.had:
			os.Setenv(c.name, c.old)
		default:
			os.Unsetenv(c.name)
		}
	}
}

// exporterList exports to several exporters, one after the other.
type exporterList []sdktrace.SpanExporter

// ExportSpans exports spans to each.
func (l exporterList) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	var errs []error
	for _, e := range l {
		errs = append(errs, e.ExportSpans(ctx, spans))
	}
	return errors.Join(errs...)
}

// Shutdown shuts down each.
func (l exporterList) Shutdown(ctx context.Context) error {
	var errs []error
	for _, e := range l {
		errs = append(errs, e.Shutdown(ctx))
	}
	return errors.Join(errs...)
}
