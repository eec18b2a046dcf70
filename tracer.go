package forkspan

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"forkspan.dev/forkspan/journal"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Tracer starts spans. It comes from [Init] or [InitWorker]; its methods follow the rules of the functions of the same
// name, which use the tracer of the last Init. It is safe for concurrent use. A nil Tracer is a disabled one.
//
// It is no trace.Tracer and embeds none: a span that is started through OpenTelemetry's own interface does not look for
// its parent in the environment. For code that wants that interface, there is [Tracer.OTel].
type Tracer struct {
	live atomic.Bool // false when disabled, and after Shutdown

	// Set by Init and not changed later; zero when disabled.
	tracer            trace.Tracer
	provider          *sdktrace.TracerProvider
	batch             *batcher
	journal           *journaled      // nil without
	runJournal        *journal.Writer // nil outside of a run, and when spans go elsewhere
	pipeline          *pipeline
	propagators       propagation.TextMapPropagator
	predict           prediction
	names             codeNames
	noExceptionEvents bool
	childEndpoint     string // for the environment of children; empty when spans go elsewhere
	childProtocol     string
	foundEndpoint     string // the environment's own at the time of Init
	hadEndpoint       bool

	// Guarded by initMu.
	globals *globals
	env     []envChange
}

// active is the tracer of the package's functions, nil when tracing is disabled.
var active atomic.Pointer[Tracer]

// initMu serialises Init and Shutdown.
var initMu sync.Mutex

// Enabled reports whether spans are recorded: an [Init] found out where to send them, and its tracer is not shut down.
func Enabled() bool { return active.Load() != nil }

// Enabled reports whether this tracer records spans.
func (t *Tracer) Enabled() bool { return !t.off() }

func (t *Tracer) off() bool { return t == nil || !t.live.Load() }

// OTel returns the tracer provider underneath, for libraries that take one. Spans that it starts know the parent in their
// context only, never the environment's. A disabled tracer's does nothing.
func (t *Tracer) OTel() trace.TracerProvider {
	if t == nil || t.provider == nil {
		return noop.NewTracerProvider()
	}
	return t.provider
}

// Flush exports the spans that have ended so far, and returns when that is done or ctx is. The error is that of the
// export; the spans of a failed one are lost, and counted in [Stats].
func (t *Tracer) Flush(ctx context.Context) error {
	if t.off() {
		return nil
	}
	if ctx == nil {
		ctx = context.Background()
	}
	return t.provider.ForceFlush(ctx)
}

// maxShutdown is the longest that Shutdown takes.
const maxShutdown = 5 * time.Second

// Shutdown exports what is left, closes the exporter and puts back what Init has changed: OpenTelemetry's globals and the
// environment. Afterwards the tracer is disabled, and Init may be called again.
//
// It returns at ctx's deadline, and after 5 s at the latest. A ctx that is cancelled already counts as one without a
// deadline: at the end of main that is the usual case, and the last spans are to arrive all the same. The error says how
// many spans did not; [Tracer.Stats] has the whole account. A second call does nothing.
func (t *Tracer) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	initMu.Lock()
	defer initMu.Unlock()
	if !t.live.CompareAndSwap(true, false) {
		return nil
	}
	active.CompareAndSwap(t, nil)
	if t.globals != nil {
		t.globals.restore()
	}
	restoreEnv(t.env)

	if ctx == nil || ctx.Err() != nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, maxShutdown)
	defer cancel()
	// The provider does not call processors when ctx is done by then, so it comes second, when there is nothing left to do.
	err := t.pipeline.Shutdown(ctx)
	if err := errors.Join(err, t.provider.Shutdown(context.Background())); err != nil {
		return fmt.Errorf("shut down tracing: %w", err)
	}
	return nil
}
