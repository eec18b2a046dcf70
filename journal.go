package forkspan

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"forkspan.dev/forkspan/journal"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// WithJournal keeps spans in files in the folder dir as well, where they survive the death of the process (see package
// journal): each span from its Start on, until it has been exported. It enables tracing by itself. Any number of processes may
// share the folder.
//
// What dead processes left there is exported by the next [Init] with the same folder, in the background, and then removed; or
// by the command forkspan import. Spans that had not ended are told to the error handler, and exported only with
// [WithUnfinishedSpans]. Without an exporter, nothing is removed.
//
// [Tracer.Shutdown] removes this process's files when all its spans have ended and been exported. An error of Init about the
// journal leaves tracing on, without it.
func WithJournal(dir string) Option {
	return optionFunc(func(s *settings) { s.journal = dir })
}

// WithUnfinishedSpans exports, of what [WithJournal] finds of dead processes, also the spans that had not ended: ended at the
// process's last sign of life, with the status Error and the attribute forkspan.unfinished.
func WithUnfinishedSpans() Option {
	return optionFunc(func(s *settings) { s.unfinished = true })
}

// hasProcessors tells whether spans go anywhere but to an exporter.
func (s *settings) hasProcessors() bool { return len(s.processors) > 0 || s.journal != "" }

// openJournal opens the journal of the settings, if they have one. It returns the processor to go before all others, and the
// exporter to use instead of e.
func (r *reader) openJournal(s *settings, e sdktrace.SpanExporter, onError func(error)) (*journaled, sdktrace.SpanExporter) {
	if s.journal == "" {
		return nil, e
	}
	w, err := journal.Create(s.journal)
	if err != nil {
		r.errs = append(r.errs, &ConfigError{Var: "WithJournal", Value: s.journal, Used: "no journal", Err: err})
		return nil, e
	}
	j := &journaled{Writer: w, done: make(chan struct{})}
	if e == nil {
		close(j.done)
		return j, nil
	}
	j.turn = make(chan struct{}, 1)
	j.plain = e
	j.releasing = w.Exporter(&j.partial)
	j.partial.next = e
	var ctx context.Context
	ctx, j.cancel = context.WithCancel(context.Background())
	go j.recover(ctx, s, onError)
	return j, journalExporter{j}
}

// journaled is a journal with the exporter behind it.
type journaled struct {
	*journal.Writer
	plain     sdktrace.SpanExporter
	releasing sdktrace.SpanExporter // releases from the journal what plain takes
	partial   partialExporter
	turn      chan struct{} // capacity 1, held for an export: exporters want one at a time

	cancel      context.CancelFunc // ends the recovery
	done        chan struct{}      // closed when the recovery has ended
	recovered   atomic.Uint64
	interrupted atomic.Uint64
}

// export calls f when it is its turn.
func (j *journaled) export(ctx context.Context, f func() error) error {
	select {
	case j.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-j.turn }()
	return f()
}

// journalExporter is what exports the spans of this process.
type journalExporter struct{ *journaled }

// ExportSpans exports spans, and releases them from the journal unless they have to be sent again.
func (j journalExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	return j.export(ctx, func() error {
		err := j.releasing.ExportSpans(ctx, spans)
		if err == nil {
			err = j.partial.err
		}
		return err
	})
}

// Shutdown waits for the recovery, as long as ctx lets it, and shuts the exporter down.
func (j journalExporter) Shutdown(ctx context.Context) error {
	select {
	case <-j.done:
	case <-ctx.Done():
	}
	j.cancel()
	<-j.done
	return j.releasing.Shutdown(ctx)
}

// partialExporter sees no error in a partial success: what the collector turned down, it will turn down again.
type partialExporter struct {
	next sdktrace.SpanExporter
	err  error // of the last export that was taken
}

// ExportSpans exports spans; an error means that they were not taken.
func (p *partialExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	var a answer
	err := guard(func() error { return p.next.ExportSpans(withAnswer(ctx, &a), spans) })
	a.note(ctx)
	p.err = nil
	if err != nil && a.taken && a.failed == 0 {
		p.err, err = err, nil
	}
	return err
}

// Shutdown shuts the exporter down.
func (p *partialExporter) Shutdown(ctx context.Context) error { return p.next.Shutdown(ctx) }

// recover exports what dead processes left.
func (j *journaled) recover(ctx context.Context, s *settings, onError func(error)) {
	defer close(j.done)
	var failed error // the first
	down := false
	err := journal.Recover(ctx, s.journal, func(dead *journal.Journal) error {
		if down {
			return errLeft
		}
		if err := j.resend(ctx, dead, s.unfinished); err != nil {
			down = isDown(err)
			if failed == nil {
				failed = err
			}
			return errLeft
		}
		if dead.Damaged > 0 {
			onError(fmt.Errorf("recover journal of pid %d: %d of its files are damaged", dead.PID, dead.Damaged))
		}
		if dead.Unfinished > 0 && !s.unfinished {
			j.interrupted.Add(uint64(dead.Unfinished))
			onError(fmt.Errorf("recover journal of pid %d: %d spans had not ended, and are not exported: %s",
				dead.PID, dead.Unfinished, someNames(dead)))
		}
		return nil
	})
	switch {
	case failed != nil:
		onError(fmt.Errorf("recover journal: %w", failed))
	case err != nil && !errors.Is(err, journal.ErrBusy):
		onError(err)
	}
}

// isDown tells of an export that failed whether all others would fail as well, and take their time. Else the collector has refused
// just these spans, perhaps.
func isDown(err error) bool {
	var again *retryError
	return errors.As(err, &again) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// refusedError is of an export that the collector refused for good. Exporters that are not ours do not tell.
type refusedError struct{ error }

func (e *refusedError) Unwrap() error { return e.error }

// errLeft leaves a journal for the next time.
var errLeft = errors.New("journal not recovered")

// resend exports the spans of a dead process, and goes on to the next request when the collector refuses one.
func (j *journaled) resend(ctx context.Context, dead *journal.Journal, unfinished bool) error {
	var refused error // the first
	send := func(body []byte, change func(*recoveredSpan)) (taken bool, err error) {
		err = j.resendRequest(ctx, body, change)
		if no, ok := errors.AsType[*refusedError](err); ok {
			if refused == nil {
				refused = no
			}
			return false, nil
		}
		return err == nil, err
	}
	err := dead.Deliver(func(body []byte) (bool, error) { return send(body, nil) })
	if err == nil && unfinished {
		err = dead.DeliverUnfinished(func(body []byte) (bool, error) {
			return send(body, func(s *recoveredSpan) { s.interrupt(dead.LastSign) })
		})
	}
	if err != nil {
		return err
	}
	return refused
}

func (j *journaled) resendRequest(ctx context.Context, body []byte, change func(*recoveredSpan)) error {
	var data tracepb.TracesData
	if err := proto.Unmarshal(body, &data); err != nil {
		return err
	}
	spans := recoveredSpans(&data)
	if change != nil {
		for _, s := range spans {
			change(s.(*recoveredSpan))
		}
	}
	return j.export(ctx, func() error {
		var a answer
		err := guard(func() error { return j.plain.ExportSpans(withAnswer(ctx, &a), spans) })
		if err != nil && (!a.taken || a.failed > 0) {
			err = fmt.Errorf("export %d spans: %w", len(spans), err)
			if a.failed > 0 && !isDown(err) {
				return &refusedError{err}
			}
			return err
		}
		j.recovered.Add(uint64(len(spans)))
		return nil
	})
}

// someNames lists the names of unfinished spans, the first of them.
func someNames(dead *journal.Journal) string {
	const most = 5
	var list []string
	for body := range dead.UnfinishedRequests() {
		var data tracepb.TracesData
		if proto.Unmarshal(body, &data) != nil {
			continue
		}
		for _, s := range recoveredSpans(&data) {
			if len(list) == most {
				return strings.Join(list, ", ") + ", …"
			}
			list = append(list, s.Name())
		}
	}
	return strings.Join(list, ", ")
}
