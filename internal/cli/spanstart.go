package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.opentelemetry.io/otel/trace"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/scriptspan"
	"forkspan.dev/forkspan/internal/store"
)

const spanStartLong = `Start a span and print its context: for eval in a shell, or for the steps that follow in GitHub Actions.
Its parent is the span around it (TRACEPARENT); what is never ended shows as unfinished.

With --seed the ids are made of a text, so that every machine that knows the text knows them: --parent seed:TEXT names
that span from anywhere. A seeded span begins a trace of its own unless --parent says otherwise.

` + attrHelp + `

` + timeHelp

const spanStartExample = `  eval "$(forkspan span start build --attr branch=main)"
  forkspan span start job --export=github --seed "$GITHUB_RUN_ID-$GITHUB_RUN_ATTEMPT"
  parent=$(forkspan span start deploy --export=none)`

// spanFlags are those of spans that begin: start and add.
type spanFlags struct {
	attrs  []string
	kind   string
	links  []string
	parent string
	seed   string
}

func (f *spanFlags) add(cmd *cobra.Command, flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.attrs, "attr", nil, "`KEY=TEXT` or KEY:=JSON, any number of times")
	choice(flags, &f.kind, "kind", "internal", scriptspan.Kinds(), "`kind` of the span: internal, server, client, producer or consumer")
	flags.StringArrayVar(&f.links, "link", nil, "`TRACEPARENT` of a span to link to, any number of times")
	flags.StringVar(&f.parent, "parent", "", "`TRACEPARENT` of the parent, or seed:TEXT (default: the environment's)")
	flags.StringVar(&f.seed, "seed", "", "make the ids of this `text`, the same on every machine")
	_ = cmd.RegisterFlagCompletionFunc("kind", completeWords(scriptspan.Kinds()...)) // fails for an unknown flag only
}

func newSpanStart(a *app) *cobra.Command {
	var f spanFlags
	var at, export string
	cmd := &cobra.Command{
		Use:     "start NAME",
		Short:   "Start a span and print its context",
		Long:    spanStartLong,
		Example: spanStartExample,
		Args:    oneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.spanStart(cmd.Context(), args[0], f, at, export)
		},
	}
	f.add(cmd, cmd.Flags())
	cmd.Flags().StringVar(&at, "time", "now", "`time` it began")
	exportFlag(cmd, &export)
	return cmd
}

func oneName(_ *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return errors.New("want the name of one span")
	}
	return nil
}

func (a *app) spanStart(ctx context.Context, name string, f spanFlags, at, export string) error {
	now := time.Now()
	start, err := scriptspan.ParseTime(at, now)
	if err != nil {
		return spanUsage("start", fmt.Errorf("--time: %w", err))
	}
	span, err := f.span(name)
	if err != nil {
		return spanUsage("start", err)
	}
	span.Start = start.UnixNano()
	db, err := a.openSpans(ctx, "start")
	if err != nil {
		return err
	}
	defer db.Close()
	db.assign(span)
	span.Before = scriptspan.Current(db.lookup)
	open := store.OpenSpan{TraceID: span.TraceID, SpanID: span.SpanID, Started: now, State: span.State()}
	switch err := db.AddOpenSpan(ctx, open); {
	case errors.Is(err, store.ErrExists):
		return withHint(spanFailed("start", fmt.Errorf("there is a span of seed %q already, %s", f.seed, span.Traceparent())),
			"--parent seed:%s names it", f.seed)
	case err != nil:
		return spanFailed("start", err)
	}
	moved, err := db.put(ctx, span)
	if err == nil && moved {
		err = db.ChangeOpenSpan(ctx, span.TraceID, span.SpanID, func(o *store.OpenSpan) error {
			o.State = span.State()
			return nil
		})
	}
	if err != nil {
		return spanFailed("start", err)
	}
	return a.export(export, span.Variables(), span.Traceparent()+"\n")
}

// span makes a span of the flags, with neither time nor run.
func (f *spanFlags) span(name string) (*scriptspan.Span, error) {
	s := &scriptspan.Span{Span: commandspan.Span{Name: scriptspan.Clean(name), Sampled: true}}
	if err := f.chooseParent(&s.Span); err != nil {
		return nil, err
	}
	var err error
	if s.Attributes, err = scriptspan.ParseAttributes(f.attrs); err != nil {
		return nil, err
	}
	if s.Kind, err = scriptspan.ParseKind(f.kind); err != nil {
		return nil, fmt.Errorf("--kind: %w", err)
	}
	for _, text := range f.links {
		link, err := scriptspan.ParseParent(text)
		if err != nil {
			return nil, fmt.Errorf("--link: %w", err)
		}
		s.Links = append(s.Links, linkTo(link))
	}
	return s, nil
}

func linkTo(sc trace.SpanContext) otlp.Link {
	return otlp.Link{TraceID: otlp.TraceID(sc.TraceID()), SpanID: otlp.SpanID(sc.SpanID())}
}

// chooseParent gives s its ids. A seed without a parent begins a trace, linked to the environment's span.
func (f *spanFlags) chooseParent(s *commandspan.Span) error {
	parent := trace.SpanContextFromContext(forkspan.ParentContext(context.Background()))
	if f.parent != "" {
		var err error
		if parent, err = scriptspan.ParseParent(f.parent); err != nil {
			return fmt.Errorf("--parent: %w", err)
		}
	}
	_, _ = rand.Read(s.TraceID[:]) // never fails
	s.SpanID = newSpanID()
	if f.seed != "" {
		s.TraceID, s.SpanID = scriptspan.SeedIDs(f.seed)
		if f.parent == "" && parent.IsValid() {
			s.Links = append(s.Links, linkTo(parent))
			return nil
		}
	}
	if parent.IsValid() {
		s.TraceID, s.ParentID = otlp.TraceID(parent.TraceID()), otlp.SpanID(parent.SpanID())
		s.TraceState, s.Sampled, s.Remote = parent.TraceState().String(), parent.IsSampled(), true
	}
	if s.ParentID == s.SpanID {
		return errors.New("--seed and --parent name the same span")
	}
	return nil
}

// assign makes a span one of the run that we are in, or of the run of scripts of its trace.
func (s *spanStore) assign(span *scriptspan.Span) {
	span.Run = scriptspan.RunID(span.TraceID)
	if s.inside {
		span.Run, span.HostPort = s.outer.RunID, s.outer.HostPort
	} else if s.outer.RunID != "" {
		s.note(fmt.Sprintf("nothing tells where the run %s listens: the span is kept as a trace of its own", shortID(s.outer.RunID)))
	}
	span.Resource = commandspan.Resource(s.lookup, scriptService, span.Run)
}

// scriptService is the service of spans of scripts where the user names none.
const scriptService = "script"

// spanReference reads a traceparent, or the id of a span alone.
func spanReference(ref string) (id otlp.SpanID, traceID otlp.TraceID, err error) {
	if sc, err := scriptspan.ParseParent(ref); err == nil {
		return otlp.SpanID(sc.SpanID()), otlp.TraceID(sc.TraceID()), nil
	}
	if parsed, err := trace.SpanIDFromHex(ref); err == nil {
		return otlp.SpanID(parsed), traceID, nil
	}
	return id, traceID, &exitError{status: statusUsage, err: fmt.Errorf("%q is neither a traceparent nor the id of a span", ref)}
}

// spanVariable is [scriptspan.SpanVariable] of our environment; empty when there is none.
func spanVariable(lookup func(string) (string, bool)) string {
	value, _ := lookup(scriptspan.SpanVariable)
	return value
}
