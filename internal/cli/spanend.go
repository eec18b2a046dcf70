package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/scriptspan"
	"forkspan.dev/forkspan/internal/store"
)

const spanEndLong = `End a span that forkspan span start has begun, from any later process. Without SPAN it is the one that start has
put into the environment (FORKSPAN_SPAN); what is printed then makes the span around it the parent again.

SPAN is what --export=none has printed: a traceparent. A span id does, too.

` + attrHelp + `

` + timeHelp

const spanEndExample = `  eval "$(forkspan span end)"
  forkspan span end --export=github --status error --message "$why"
  forkspan span end "$parent" --attr files:=42`

type spanEndFlags struct {
	status, message, at, export string
	attrs                       []string
}

func newSpanEnd(a *app) *cobra.Command {
	var f spanEndFlags
	cmd := &cobra.Command{
		Use:     "end [SPAN]",
		Short:   "End a span",
		Long:    spanEndLong,
		Example: spanEndExample,
		Args:    atMostOne("span"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.spanEnd(cmd.Context(), first(args), f)
		},
	}
	statusFlags(cmd, &f.status, &f.message)
	cmd.Flags().StringArrayVar(&f.attrs, "attr", nil, "`KEY=TEXT` or KEY:=JSON, any number of times")
	cmd.Flags().StringVar(&f.at, "time", "now", "`time` it ended")
	exportFlag(cmd, &f.export)
	return cmd
}

func statusFlags(cmd *cobra.Command, status, message *string) {
	choice(cmd.Flags(), status, "status", "unset", []string{"unset", "ok", "error"}, "`status` of the span: unset, ok or error")
	cmd.Flags().StringVar(message, "message", "", "`text` that says what failed, with --status error")
	_ = cmd.RegisterFlagCompletionFunc("status", completeWords("unset", "ok", "error")) // fails for an unknown flag only
}

// setStatus gives span the status of the flags.
func setStatus(span *scriptspan.Span, status, message string) error {
	if message != "" && status != "error" {
		return errors.New("--message goes with --status error")
	}
	span.Succeeded, span.Failed, span.Message = status == "ok", status == "error", scriptspan.Clean(message)
	return nil
}

// errEnded is the error for what is done to a span after its end.
var errEnded = errors.New("has ended already")

func (a *app) spanEnd(ctx context.Context, ref string, f spanEndFlags) error {
	end, err := scriptspan.ParseTime(f.at, time.Now())
	if err != nil {
		return spanUsage("end", fmt.Errorf("--time: %w", err))
	}
	attrs, err := scriptspan.ParseAttributes(f.attrs)
	if err != nil {
		return spanUsage("end", err)
	}
	var status scriptspan.Span
	if err := setStatus(&status, f.status, f.message); err != nil {
		return spanUsage("end", err)
	}
	db, err := a.openSpans(ctx, "end")
	if err != nil {
		return err
	}
	defer db.Close()
	if ref == "" {
		if ref, err = currentSpan(db.lookup); err != nil {
			return withHint(&exitError{status: statusUsage, err: spanFailed("end", err)},
				`eval "$(forkspan span start NAME)" begins one, or name it: forkspan span end TRACEPARENT`)
		}
	}
	open, err := db.find(ctx, ref)
	if err != nil {
		return spanFailed("end", err)
	}
	span, err := db.close(ctx, open, func(span *scriptspan.Span) error {
		if span.End = end.UnixNano(); span.End < span.Start {
			return withHint(&exitError{status: statusUsage, err: fmt.Errorf("%s would end %s before it began",
				span.Name, time.Duration(span.Start-span.End))}, "it began at %s", time.Unix(0, span.Start).Format(time.RFC3339Nano))
		}
		span.Attributes = scriptspan.Merge(span.Attributes, attrs...)
		span.Succeeded, span.Failed, span.Message = status.Succeeded, status.Failed, status.Message
		return nil
	})
	if err != nil {
		return spanFailed("end", err)
	}
	if !isCurrent(db.lookup, open.TraceID, open.SpanID) {
		return nil // the environment is that of another span
	}
	return a.export(f.export, span.Before, "")
}

// close ends a span as change says and stores it. Of processes that end it at once one succeeds, and its end is the span's: it
// is kept in the span's state first. Where it cannot be stored the span is open again; where the process was killed before that,
// the next one stores it.
func (s *spanStore) close(ctx context.Context, of store.OpenSpan, change func(*scriptspan.Span) error) (*scriptspan.Span, error) {
	var span *scriptspan.Span
	var open []byte // its state before
	before := false // another process has ended it
	err := s.ChangeOpenSpan(ctx, of.TraceID, of.SpanID, func(o *store.OpenSpan) (err error) {
		if o.Ended {
			return fmt.Errorf("the span %x %w", o.SpanID, errEnded)
		}
		if span, err = scriptspan.Open(o.State); err != nil {
			return err
		}
		if before = span.End != 0; before {
			return nil
		}
		if err := change(span); err != nil {
			return err
		}
		open, o.State = o.State, span.State()
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.finish(ctx, span); err != nil {
		if before {
			return nil, err
		}
		return nil, errors.Join(err, s.ChangeOpenSpan(context.WithoutCancel(ctx), of.TraceID, of.SpanID, func(o *store.OpenSpan) error {
			o.State = open
			return nil
		}))
	}
	err = s.ChangeOpenSpan(ctx, of.TraceID, of.SpanID, func(o *store.OpenSpan) error {
		o.Ended, o.State = true, nil
		return nil
	})
	if err == nil && before {
		err = fmt.Errorf("the span %s %w", span.Name, errEnded)
	}
	return span, err
}

// openSpan reads the state of a span that has not ended.
func (s *spanStore) openSpan(open store.OpenSpan) (*scriptspan.Span, error) {
	if open.Ended {
		return nil, fmt.Errorf("the span %x %w", open.SpanID, errEnded)
	}
	span, err := scriptspan.Open(open.State)
	if err == nil && span.End != 0 {
		err = fmt.Errorf("the span %s %w", span.Name, errEnded)
	}
	return span, err
}

// currentSpan is the span that the last start has put into our environment. Where another has taken its place as the parent,
// as in a command below forkspan run, the span is not this script's to end.
func currentSpan(lookup func(string) (string, bool)) (string, error) {
	current := spanVariable(lookup)
	if current == "" {
		return "", errors.New("no span: FORKSPAN_SPAN is not set")
	}
	parent, ok := lookup("traceparent")
	if !ok {
		parent, ok = lookup("TRACEPARENT")
	}
	if ok && parent != "" && parent != current {
		return "", fmt.Errorf("which span: FORKSPAN_SPAN is %s, the parent here is %s", quoted(current), quoted(parent))
	}
	return current, nil
}

// isCurrent tells whether a span is the one that our environment names.
func isCurrent(lookup func(string) (string, bool), traceID otlp.TraceID, id otlp.SpanID) bool {
	currentID, currentTrace, err := spanReference(spanVariable(lookup))
	return err == nil && currentID == id && currentTrace == traceID
}
