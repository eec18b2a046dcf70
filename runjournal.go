package forkspan

import (
	"context"
	"errors"
	"os"
	"sync"

	"forkspan.dev/forkspan/internal/endpoint"
	"forkspan.dev/forkspan/journal"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// The variables by which the command forkspan run tells its processes where to keep journals, and which endpoint is its own.
const (
	runJournalVar  = "FORKSPAN_JOURNAL"
	runEndpointVar = "FORKSPAN_RUN_ENDPOINT"
)

// runJournal is the folder that a forkspan run has for this process's journal; empty when there is none, or when the user has
// said otherwise where spans go.
func (r *reader) runJournal(s *settings, chosen exporters) string {
	dir := os.Getenv(runJournalVar)
	if dir == "" || s.endpoint != "" || s.journal != "" || chosen.console || chosen.named && !chosen.otlp {
		return ""
	}
	if name, value := r.otlp("ENDPOINT"); name != "" && !sameHostPort(value, os.Getenv(runEndpointVar)) {
		return ""
	}
	return dir
}

// sameHostPort tells whether two endpoints are one port.
func sameHostPort(a, b string) bool {
	x, err1 := endpoint.Parse(a)
	y, err2 := endpoint.Parse(b)
	return err1 == nil && err2 == nil && x.Target == "" && y.Target == "" && x.HostPort("") == y.HostPort("")
}

// openRunJournal begins a journal in the run's folder. Without one, spans go over the network as anywhere else, so that it is
// no error.
func openRunJournal(dir string) *journal.Writer {
	if dir == "" {
		return nil
	}
	w, err := journal.Create(dir, journal.WithReader())
	if err != nil {
		return nil
	}
	return w
}

// lazyExporter is an exporter that is made when there is something to export.
type lazyExporter struct {
	open func() (sdktrace.SpanExporter, error)

	mu   sync.Mutex
	made sdktrace.SpanExporter
	shut bool
}

var errShutDown = errors.New("exporter is shut down")

// ExportSpans exports spans by the exporter underneath.
func (l *lazyExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	e, err := l.exporter()
	if err != nil {
		return err
	}
	return e.ExportSpans(ctx, spans)
}

func (l *lazyExporter) exporter() (_ sdktrace.SpanExporter, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut {
		return nil, errShutDown
	}
	if l.made == nil {
		l.made, err = l.open()
	}
	return l.made, err
}

// Shutdown shuts the exporter underneath down, if there is one by now.
func (l *lazyExporter) Shutdown(ctx context.Context) error {
	l.mu.Lock()
	e := l.made
	l.shut = true
	l.mu.Unlock()
	if e == nil {
		return nil
	}
	return e.Shutdown(ctx)
}
