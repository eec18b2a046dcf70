package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"forkspan.dev/forkspan/internal/report"
	"forkspan.dev/forkspan/internal/spanfile"
	"forkspan.dev/forkspan/internal/timeline"
)

const reportLong = `Work figures out of what was recorded.`

const reportExample = `  forkspan report requests              # time to first token and the rest, by model and route`

func newReport(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "report COMMAND",
		Short:   "Figures of requests",
		Long:    reportLong,
		Example: reportExample,
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			err := &exitError{status: statusUsage, err: fmt.Errorf("unknown report %q", args[0])}
			return withHint(err, "forkspan report --help lists the reports")
		},
	}
	cmd.AddCommand(newReportRequests(a))
	return cmd
}

// reportRequestsFlags are the flags of `forkspan report requests`.
type reportRequestsFlags struct {
	by      []string
	model   string
	route   string
	errors  bool
	since   string
	warmup  string
	slowest int
	json    bool
}

const reportRequestsLong = `Report the requests to models: how many, how they ended, how long they took.

Requests are the spans of forkspan's proxy, middleware and transport, vLLM's llm_request, and those of other
instrumentations of LLMs. Where both sides of a request were recorded, the client's times, the server's and their
difference (the network and the front end) are told apart.

Inter-token is the mean time between a request's tokens after the first, tokens/s its inverse. Percentiles are exact.
Times are those of requests that finished well; with --errors those of the failed ones.

Warm-up are the requests that began before the first of the same model and route was answered, or as --warmup says.
Figures are shown with it and without.

` + referenceHelp

const reportRequestsExample = `  forkspan report requests                       # the latest run
  forkspan report requests -2 -1 --by run,model  # two runs beside each other
  forkspan report requests --route chat --since 10m
  forkspan report requests trace.json.gz --json | jq '.groups[].client.firstToken.all.p99Ns'`

func newReportRequests(a *app) *cobra.Command {
	var f reportRequestsFlags
	cmd := references(&cobra.Command{
		Use:               "requests [RUN | TRACE | FILE]…",
		Short:             "Time to first token and the rest, by model and route",
		Long:              reportRequestsLong,
		Example:           reportRequestsExample,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeReferences(100),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.reportRequests(cmd.Context(), args, f)
		},
	})
	flags := cmd.Flags()
	flags.StringSliceVar(&f.by, "by", []string{"model", "route"}, "group by these `keys`: run, model, route, operation; none for one group")
	flags.StringVar(&f.model, "model", "", "only models with this `name` or part of it")
	flags.StringVar(&f.route, "route", "", "only routes or operations with this `name` or part of it")
	flags.BoolVar(&f.errors, "errors", false, "only requests that failed")
	flags.StringVar(&f.since, "since", "", "only requests that began since a `time`: 10m for ten minutes ago, or 2026-01-31T15:04:05Z")
	flags.StringVar(&f.warmup, "warmup", "auto", "which requests are warm-up, by a `rule`: auto, how many of the first, or how long after ready such as 5s")
	flags.IntVar(&f.slowest, "slowest", 5, "list this `many` of the slowest requests")
	flags.BoolVar(&f.json, "json", false, "print JSON (docs/json.md)")
	_ = cmd.RegisterFlagCompletionFunc("by", completeWords("run", "model", "route", "operation")) // fails for an unknown flag only
	return cmd
}

// options reads the flags.
func (f *reportRequestsFlags) options(now time.Time) (report.Options, error) {
	opts := report.Options{Model: f.model, Route: f.route, Failed: f.errors, Slowest: f.slowest}
	usage := func(format string, args ...any) (report.Options, error) {
		return opts, &exitError{status: statusUsage, err: fmt.Errorf("report requests: "+format, args...)}
	}
	if f.slowest < 0 {
		return usage("--slowest is negative")
	}
	for _, key := range f.by {
		by := report.Key(strings.TrimSpace(key))
		switch {
		case by == "" || by == "none":
		case slices.Contains([]report.Key{report.ByRun, report.ByModel, report.ByRoute, report.ByOperation}, by):
			opts.By = append(opts.By, by)
		default:
			return usage("--by %s: want run, model, route, operation or none", key)
		}
	}
	var err error
	if opts.Warmup, err = report.ParseWarmup(f.warmup); err != nil {
		return usage("--warmup %s: %w", f.warmup, err)
	}
	if f.since != "" {
		if ago, err := time.ParseDuration(f.since); err == nil {
			opts.Since = now.Add(-ago)
		} else if opts.Since, err = time.Parse(time.RFC3339, f.since); err != nil {
			return usage("--since %s: want a duration such as 10m or a time such as 2026-01-31T15:04:05Z", f.since)
		}
	}
	return opts, nil
}

// reported is a source of requests with what else is known of it.
type reported struct {
	report.Source
	title    string
	run      *jsonRun
	stored   bool // so that forkspan show finds its traces
	problems []spanfile.Problem
}

func (a *app) reportRequests(ctx context.Context, refs []string, f reportRequestsFlags) error {
	opts, err := f.options(time.Now())
	if err != nil {
		return err
	}
	if len(refs) == 0 {
		refs = []string{""}
	}
	var all []*reported
	var sources []*report.Source
	var problems error
	for _, ref := range refs {
		r, err := a.loadRequests(ctx, ref)
		if err != nil {
			return err
		}
		all = append(all, r)
		sources = append(sources, &r.Source)
		problems = errors.Join(problems, a.warn(r.title, r.problems))
	}
	requests := report.Build(sources, opts)
	if f.json {
		err = a.writeJSON(requestReportJSON(all, requests, opts))
	} else {
		err = a.writeRequestReport(all, requests, opts)
	}
	return errors.Join(err, problems)
}

// loadRequests finds what ref names and reads its request spans.
func (a *app) loadRequests(ctx context.Context, ref string) (*reported, error) {
	named, err := a.resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer named.close()
	r := &reported{}
	switch {
	case named.run != nil:
		j := runJSON(*named.run)
		r.title, r.run, r.stored = runTitle(*named.run), &j, true
		r.Name, r.Ready = named.run.ID+" "+commandLine(*named.run), named.run.Ready
		if err := r.Load(ctx, named.db, named.run.ID); err != nil {
			return nil, fmt.Errorf("read run %s: %w", named.run.ID, err)
		}
	case named.trace != nil:
		r.title, r.stored = fmt.Sprintf("trace %x", *named.trace), true
		r.Name = r.title
		for request, err := range named.db.Trace(ctx, *named.trace) {
			if err == nil {
				err = r.AddTrace(request.Body, *named.trace)
			}
			if err != nil {
				return nil, fmt.Errorf("read trace %x: %w", *named.trace, err)
			}
		}
	default:
		r.title, r.problems, err = a.readFile(named.file, r.AddRequest)
		r.Name = r.title
	}
	return r, err
}

func (a *app) writeRequestReport(all []*reported, requests *report.Requests, opts report.Options) error {
	text := a.textOptions(a.Stdout)
	var titles []string
	stored := true
	for _, r := range all {
		titles = append(titles, timeline.Clean(r.title))
		stored = stored && r.stored
	}
	if requests.Requests == 0 {
		a.noRequests(titles, opts)
		return nil
	}
	var out []byte
	for _, title := range titles {
		if text.Color {
			title = "\x1b[1m" + title + "\x1b[0m"
		}
		out = append(append(out, title...), '\n')
	}
	out = append(out, requests.Text(text, opts.Warmup)...)
	if len(requests.Slow) > 0 && stored {
		out = fmt.Appendf(out, "\nforkspan show %x draws the slowest\n", requests.Slow[0].TraceID)
	}
	if _, err := a.Stdout.Write(out); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// noRequests says what to do when there is nothing to report.
func (a *app) noRequests(titles []string, opts report.Options) {
	if opts.Model != "" || opts.Route != "" || opts.Failed || !opts.Since.IsZero() {
		a.note("no request matches in " + strings.Join(titles, ", "))
		return
	}
	a.note("no requests in " + strings.Join(titles, ", "))
	a.note("they are recorded by forkspan run --proxy LISTEN:UPSTREAM -- COMMAND, by forkspan proxy URL, and by vLLM itself")
}
