package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/scriptspan"
)

const spanAddLong = `Record a span after the fact, whole, with its times. Its traceparent is printed, for --parent of others.

` + attrHelp + `

` + timeHelp

const spanAddExample = `  forkspan span add "download weights" --start "$began" --attr bytes:=15728640
  forkspan span add queue --start -90s --end -30s --event scheduled@-45s
  forkspan span add fetch --start 1767225600.25 --end 1767225601 --kind client --status error`

type spanAddFlags struct {
	spanFlags
	start, end, status, message string
	events                      []string
}

func newSpanAdd(a *app) *cobra.Command {
	var f spanAddFlags
	cmd := &cobra.Command{
		Use:     "add NAME --start TIME",
		Short:   "Record a span after the fact",
		Long:    spanAddLong,
		Example: spanAddExample,
		Args:    oneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.spanAdd(cmd.Context(), args[0], f)
		},
	}
	flags := cmd.Flags()
	f.add(cmd, flags)
	flags.StringVar(&f.start, "start", "", "`time` it began")
	flags.StringVar(&f.end, "end", "now", "`time` it ended")
	flags.StringArrayVar(&f.events, "event", nil, "`NAME[@TIME]` of an event, at the end where no time is given; any number of times")
	statusFlags(cmd, &f.status, &f.message)
	return cmd
}

func (a *app) spanAdd(ctx context.Context, name string, f spanAddFlags) error {
	span, err := f.whole(name, time.Now())
	if err != nil {
		return spanUsage("add", err)
	}
	db, err := a.openSpans(ctx, "add")
	if err != nil {
		return err
	}
	defer db.Close()
	db.assign(span)
	if _, err := db.put(ctx, span); err != nil {
		return spanFailed("add", err)
	}
	if span.HostPort == "" {
		db.passOn(ctx, span, 0) // the store remembers where it goes: scripts add many
	}
	if _, err := fmt.Fprintln(a.Stdout, span.Traceparent()); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// whole makes the span of the flags.
func (f *spanAddFlags) whole(name string, now time.Time) (*scriptspan.Span, error) {
	if f.start == "" {
		return nil, errors.New("--start is missing")
	}
	start, err := scriptspan.ParseTime(f.start, now)
	if err != nil {
		return nil, fmt.Errorf("--start: %w", err)
	}
	end, err := scriptspan.ParseTime(f.end, now)
	if err != nil {
		return nil, fmt.Errorf("--end: %w", err)
	}
	if end.Before(start) {
		return nil, fmt.Errorf("the end is %s before the start", start.Sub(end))
	}
	span, err := f.span(name)
	if err != nil {
		return nil, err
	}
	span.Start, span.End = start.UnixNano(), end.UnixNano()
	for _, text := range f.events {
		event := otlp.Event{Name: text, Time: span.End}
		if i := strings.LastIndexByte(text, '@'); i > 0 {
			if at, err := scriptspan.ParseTime(text[i+1:], now); err == nil {
				event.Name, event.Time = text[:i], at.UnixNano()
			}
		}
		event.Name = scriptspan.Clean(event.Name)
		span.Events = append(span.Events, event)
	}
	return span, setStatus(span, f.status, f.message)
}
