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

const spanEventLong = `Add an event to a span that has been started and not ended: SPAN, or the one in the environment.

` + attrHelp + `

` + timeHelp

const spanEventExample = `  forkspan span event "cache restored" --attr hit:=true
  forkspan span event "$parent" deployed --time -3s`

func newSpanEvent(a *app) *cobra.Command {
	var attrs []string
	var at string
	cmd := &cobra.Command{
		Use:     "event [SPAN] NAME",
		Short:   "Add an event to a span",
		Long:    spanEventLong,
		Example: spanEventExample,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) > 2 || args[len(args)-1] == "" {
				return errors.New("want the name of one event, and before it at most one span")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ref := ""
			if len(args) == 2 {
				ref = args[0]
			}
			return a.spanEvent(cmd.Context(), ref, args[len(args)-1], attrs, at)
		},
	}
	cmd.Flags().StringArrayVar(&attrs, "attr", nil, "`KEY=TEXT` or KEY:=JSON, any number of times")
	cmd.Flags().StringVar(&at, "time", "now", "`time` it happened")
	return cmd
}

// maxEvents bounds a span's events: each new one writes all of them again.
const maxEvents = 1000

func (a *app) spanEvent(ctx context.Context, ref, name string, attrs []string, at string) error {
	when, err := scriptspan.ParseTime(at, time.Now())
	if err != nil {
		return spanUsage("event", fmt.Errorf("--time: %w", err))
	}
	event := otlp.Event{Time: when.UnixNano(), Name: scriptspan.Clean(name)}
	if event.Attributes, err = scriptspan.ParseAttributes(attrs); err != nil {
		return spanUsage("event", err)
	}
	db, err := a.openSpans(ctx, "event")
	if err != nil {
		return err
	}
	defer db.Close()
	if ref == "" {
		if ref = spanVariable(db.lookup); ref == "" {
			return withHint(spanUsage("event", errors.New("no span: FORKSPAN_SPAN is not set")),
				`eval "$(forkspan span start NAME)" begins one, or name it: forkspan span event TRACEPARENT NAME`)
		}
	}
	open, err := db.find(ctx, ref)
	if err != nil {
		return spanFailed("event", err)
	}
	var span *scriptspan.Span
	err = db.ChangeOpenSpan(ctx, open.TraceID, open.SpanID, func(o *store.OpenSpan) error {
		var err error
		if span, err = db.openSpan(*o); err != nil {
			return err
		}
		if len(span.Events) >= maxEvents {
			return fmt.Errorf("the span %s has %d events, which is the most", span.Name, maxEvents)
		}
		span.Events = append(span.Events, event)
		o.State = span.State()
		return nil
	})
	if err == nil {
		_, err = db.put(ctx, span)
	}
	if err != nil {
		return spanFailed("event", err)
	}
	return nil
}
