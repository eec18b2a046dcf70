package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/scriptspan"
	"forkspan.dev/forkspan/internal/store"
)

// spanStore is where the spans of scripts go: the store, or the run the script is in.
type spanStore struct {
	*app
	*store.Store
	lookup func(string) (string, bool)
	outer  environ.Outer
	inside bool // outer is the run we are in
}

// sendPatience is how long a run may take to store a span. It is on this machine.
const sendPatience = 5 * time.Second

// openStoreOrSpare opens the store where it belongs, else, unless the user has said where that is, below the temporary folder.
func (a *app) openStoreOrSpare(ctx context.Context) (*store.Store, error) {
	st, err := a.openStore(ctx)
	if err == nil || !noPlace(err) || a.storeChosen() {
		return st, err
	}
	spare, err2 := store.Open(ctx, store.SparePath(), a.storeOptions(a.note))
	if err2 != nil {
		return nil, err
	}
	a.note(fmt.Sprintf("%v: the span goes to %s", err, store.SparePath()))
	return spare, nil
}

// put stores a span as it is now, in the run it belongs to. Where that cannot be reached, and is not in this store, the span
// goes to the run of scripts of its trace; the result tells, and span is changed.
func (s *spanStore) put(ctx context.Context, span *scriptspan.Span) (moved bool, err error) {
	if span.HostPort != "" {
		err := s.putIntoRun(ctx, span)
		if err == nil {
			return false, nil
		}
		s.note(fmt.Sprintf("the run %s did not take the span (%s): it is kept as a trace of its own", shortID(span.Run), oneLine(err.Error())))
		s.belongTo(span, scriptspan.RunID(span.TraceID))
		moved = true
	}
	if _, err := s.AddRun(ctx, scriptRun(span)); err != nil {
		return moved, err
	}
	return moved, s.appendSpan(ctx, span)
}

// putIntoRun sends a span to a run that goes on, or adds it to one that has ended.
func (s *spanStore) putIntoRun(ctx context.Context, span *scriptspan.Span) error {
	ctx, cancel := context.WithTimeout(ctx, sendPatience)
	defer cancel()
	hostPort, inside := span.HostPort, s.inside && s.outer.RunID == span.Run
	if inside {
		hostPort = s.outer.HostPort
	}
	var sendErr error
	if inside {
		if sendErr = scriptspan.Send(ctx, hostPort, span.Encode(version())); sendErr == nil {
			return nil
		}
	}
	switch _, err := s.FindRun(ctx, span.Run); {
	case err == nil:
		return s.appendSpan(ctx, span)
	case !errors.Is(err, store.ErrNotFound):
		return err
	case inside:
		return sendErr
	}
	return scriptspan.Send(ctx, hostPort, span.Encode(version()))
}

func (s *spanStore) appendSpan(ctx context.Context, span *scriptspan.Span) error {
	body, sum, _, reason, err := otlp.Scan(span.Encode(version()))
	if err == nil && sum.Spans == 0 {
		err = errors.New(reason)
	}
	if err != nil {
		return err
	}
	sum.Processes = nil // as with a command's span: it is about what a script does, no process of its own
	return s.Append(ctx, span.Run, body, sum)
}

// belongTo makes a span one of a run of scripts.
func (s *spanStore) belongTo(span *scriptspan.Span, run string) {
	span.Run, span.HostPort = run, ""
	for i := range span.Resource {
		if span.Resource[i].Key == environ.RunAttribute {
			span.Resource = slices.Clone(span.Resource)
			span.Resource[i].Value = run
			return
		}
	}
}

// scriptRun is the run of a trace that scripts make, as its first span has it.
func scriptRun(span *scriptspan.Span) store.Run {
	run := store.Run{
		ID: span.Run, Kind: scriptKind, Name: span.Name, TraceID: span.TraceID, SpanID: span.SpanID, ParentID: span.SpanID,
		Start: time.Unix(0, span.Start),
	}
	endRun(&run, span)
	return run
}

const scriptKind = "script"

// endRun ends a run of scripts with its first span.
func endRun(run *store.Run, span *scriptspan.Span) {
	if span.End == 0 {
		return
	}
	run.End, run.Exit = time.Unix(0, span.End), &store.Exit{}
	if span.Failed {
		run.Exit.Code = 1
	}
}

// finish stores a whole span, and ends its run when it is the run's first.
func (s *spanStore) finish(ctx context.Context, span *scriptspan.Span) error {
	if _, err := s.put(ctx, span); err != nil || span.HostPort != "" {
		return err
	}
	run, err := s.FindRun(ctx, span.Run)
	if err != nil || run.Kind != scriptKind || run.SpanID != span.SpanID || !run.End.IsZero() {
		return err
	}
	endRun(&run, span)
	if err := s.PutRun(ctx, run); err != nil {
		return err
	}
	s.passOn(ctx, span, (&runFlags{drain: drainByPlace}).drainTime(s.Env))
	return nil
}

// find finds the span that ref names: a traceparent or the id of a span.
func (s *spanStore) find(ctx context.Context, ref string) (store.OpenSpan, error) {
	id, trace, err := spanReference(ref)
	if err != nil {
		return store.OpenSpan{}, err
	}
	found, err := s.FindOpenSpans(ctx, id)
	if err != nil {
		return store.OpenSpan{}, err
	}
	if trace != (otlp.TraceID{}) {
		found = slices.DeleteFunc(found, func(o store.OpenSpan) bool { return o.TraceID != trace })
	}
	switch len(found) {
	case 0:
		return store.OpenSpan{}, withHint(fmt.Errorf("no span %x was started here", id),
			"the store is %s; end and event need the one that start used", s.Path())
	case 1:
		return found[0], nil
	}
	return store.OpenSpan{}, withHint(fmt.Errorf("several traces have a span %x", id), "name it by its traceparent")
}
