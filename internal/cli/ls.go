package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/recovery"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/internal/timeline"
)

// lsFlags are the flags of `forkspan ls`.
type lsFlags struct {
	traces   bool
	allRuns  bool
	requests bool
	limit    int
	json     bool
}

const lsLong = `List the runs in the store, the latest first; with --traces or --requests what is in one of them.

` + referenceHelp

const lsExample = `  forkspan ls
  forkspan ls --limit 0                 # all runs, however many
  forkspan ls --requests                # the requests of the latest run
  forkspan ls --traces 7K3F --json
  forkspan ls --traces --all-runs       # what forkspan serve received, too`

func newLs(a *app) *cobra.Command {
	var f lsFlags
	cmd := references(&cobra.Command{
		Use:               "ls [RUN | FILE]",
		Aliases:           []string{"list"},
		Short:             "List runs, traces and requests",
		Long:              lsLong,
		Example:           lsExample,
		Args:              atMostOne("run"),
		ValidArgsFunction: a.completeReferences(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ls(cmd.Context(), args, f)
		},
	})
	flags := cmd.Flags()
	flags.BoolVar(&f.traces, "traces", false, "list the traces of a run")
	flags.BoolVar(&f.allRuns, "all-runs", false, "with --traces: those of all runs and of none, the latest first")
	flags.BoolVar(&f.requests, "requests", false, "list the requests of a run")
	flags.IntVar(&f.limit, "limit", 20, "list this `many` rows at most; 0 for all")
	flags.BoolVar(&f.json, "json", false, "print JSON (docs/json.md)")
	cmd.MarkFlagsMutuallyExclusive("traces", "requests")
	return cmd
}

func (a *app) ls(ctx context.Context, args []string, f lsFlags) error {
	switch {
	case f.limit < 0:
		return &exitError{status: statusUsage, err: errors.New("ls: --limit is negative")}
	case f.allRuns && (!f.traces || len(args) > 0):
		return &exitError{status: statusUsage, err: errors.New("ls: --all-runs goes with --traces, and without a run")}
	case f.allRuns:
		return a.lsAllTraces(ctx, f)
	case f.traces:
		return a.lsTraces(ctx, first(args), f)
	case f.requests:
		return a.lsRequests(ctx, first(args), f)
	case len(args) > 0:
		return withHint(&exitError{status: statusUsage, err: fmt.Errorf("ls: what of run %s?", args[0])},
			"forkspan ls --traces %[1]s, forkspan ls --requests %[1]s or forkspan show %[1]s", args[0])
	}
	return a.lsRuns(ctx, f)
}

// listedRun is a run with what its spans tell.
type listedRun struct {
	store.Run
	short     string
	duration  int64 // nanoseconds
	spans     int64
	traces    int
	processes int
	errors    int
	requests  int // -1 when nobody counted
}

// countedSpans is how many spans a list decodes to count the requests among them: what a reader waits for without noticing.
const countedSpans = 30_000

func (a *app) lsRuns(ctx context.Context, f lsFlags) error {
	db, err := a.openExisting(ctx)
	if errors.Is(err, errNothingRecorded) && f.json {
		return a.writeJSON(runsJSON(nil))
	}
	if err != nil {
		return err
	}
	defer db.Close()
	runs, err := db.Runs(ctx)
	if err != nil {
		return err
	}
	if len(runs) == 0 && !f.json {
		return noRuns(ctx, db)
	}
	short := shortIDs(runs)
	left := 0
	if f.limit > 0 && len(runs) > f.limit {
		left = len(runs) - f.limit
		runs = runs[:f.limit]
	}
	budget := int64(countedSpans)
	listed := make([]listedRun, 0, len(runs))
	for _, run := range runs {
		l, err := listRun(ctx, db, run, &budget)
		if err != nil {
			return err
		}
		l.short = short[run.ID]
		listed = append(listed, l)
	}
	if f.json {
		return a.writeJSON(runsJSON(listed))
	}
	return a.writeTable(runsTable(listed, time.Now()), 1, left)
}

// listRun reads a run's figures from the summaries; its requests are counted while budget lasts.
func listRun(ctx context.Context, db *store.Store, run store.Run, budget *int64) (listedRun, error) {
	l := listedRun{Run: run, requests: -1}
	traces, err := db.Traces(ctx, run.ID)
	if err != nil {
		return l, err
	}
	if l.processes, err = countProcesses(ctx, db, run); err != nil {
		return l, err
	}
	l.traces = len(traces)
	var start, end time.Time
	for _, t := range traces {
		l.spans += int64(t.Spans)
		l.errors += t.Errors
		if start.IsZero() || t.Start.Before(start) {
			start = t.Start
		}
		if t.End.After(end) {
			end = t.End
		}
	}
	switch {
	case run.Kind == "import" && end.After(start):
		l.duration = end.Sub(start).Nanoseconds()
	case run.Kind == "import":
	case !run.End.IsZero():
		l.duration = run.End.Sub(run.Start).Nanoseconds()
	case recovery.Alive(run):
		l.duration = time.Since(run.Start).Nanoseconds()
	case end.After(run.Start):
		l.duration = end.Sub(run.Start).Nanoseconds()
	}
	if l.spans > *budget {
		twice, begun, err := beginningsOfWholes(ctx, db, run.ID)
		l.spans -= twice
		if !run.End.IsZero() {
			l.spans -= max(0, begun-run.Account.Unfinished)
		}
		return l, err
	}
	*budget -= l.spans
	src, err := loadRun(ctx, db, run)
	if err != nil {
		return l, err
	}
	t := timeline.Build(src.spans, src.timelineOptions())
	l.spans, l.requests = int64(t.Spans), t.Requests
	return l, nil
}

// countProcesses is how many processes a run has or had: all, where they were watched, else those that sent spans.
func countProcesses(ctx context.Context, db *store.Store, run store.Run) (int, error) {
	if c := run.Account.Coverage; c != nil && !c.Unwatched {
		return int(run.Account.Processes), nil
	}
	if run.End.IsZero() { // the account comes with the end
		tree, err := db.Tree(ctx, run.ID)
		if n, _ := countTree(tree); err != nil || n > 0 {
			return n, err
		}
	}
	senders, err := db.Processes(ctx, run.ID)
	return len(senders), err
}

// beginningsOfWholes is how many spans of a run the summaries count twice: a forkspan stores that a command has begun and later
// its whole span. Only those requests are read. begun is how many beginnings have come from processes; nobody reads how many of
// them are whole by now.
func beginningsOfWholes(ctx context.Context, db *store.Store, run string) (twice, begun int64, err error) {
	own := map[otlp.TraceID]bool{}
	spans, err := decodeAll(db.Matching(ctx, run, func(sum *otlp.Summary) bool {
		ours := false
		for _, t := range sum.Traces {
			switch {
			case len(sum.Processes) == 0 && t.End == 0:
				own[t.TraceID] = true
			case t.End == 0:
				begun += int64(t.Spans)
			}
			ours = ours || len(sum.Processes) == 0 && own[t.TraceID]
		}
		return ours
	}))
	if err != nil {
		return 0, 0, fmt.Errorf("read run %s: %w", run, err)
	}
	type key struct {
		trace otlp.TraceID
		span  otlp.SpanID
	}
	seen := make(map[key]bool, len(spans))
	for i := range spans {
		k := key{spans[i].TraceID, spans[i].SpanID}
		if seen[k] {
			twice++
		}
		seen[k] = true
	}
	return twice, begun, nil
}

func runsTable(runs []listedRun, now time.Time) *table {
	t := &table{
		head:  []string{"RUN", "COMMAND", "WHEN", "TIME", "END", "PROCESSES", "SPANS", "ERRORS", "REQUESTS"},
		right: []bool{false, false, true, true, false, true, true, true, true},
		spare: []int{5, 8, 6, 7, 2},
	}
	for _, r := range runs {
		requests := "?"
		if r.requests >= 0 {
			requests = timeline.FormatCount(int64(r.requests))
		}
		end := outcome(r.Run)
		switch {
		case r.Kind != "import":
		case !r.End.IsZero():
			end = "imported"
		case stillWriting(r.Run):
			end = "running"
		default:
			end = "cut off" // importing the file again completes it
		}
		duration := timeline.FormatDuration(r.duration)
		if r.duration == 0 {
			duration = "?" // nothing was heard of the run after its start
		}
		t.add(r.short, commandLine(r.Run), ago(now, r.Start), duration, end,
			timeline.FormatCount(int64(r.processes)), timeline.FormatCount(r.spans), timeline.FormatCount(int64(r.errors)), requests)
	}
	return t
}

// ago says when something was: how long ago within two days, else the date.
func ago(now, then time.Time) string {
	d := now.Sub(then)
	switch {
	case d < 0:
		return then.Local().Format("2006-01-02 15:04")
	case d < time.Second:
		return "now"
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + "s ago"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + "m ago"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + "h ago"
	}
	return then.Local().Format("2006-01-02 15:04")
}

func (a *app) lsTraces(ctx context.Context, ref string, f lsFlags) error {
	src, err := a.load(ctx, ref)
	if err != nil {
		return err
	}
	traces := gatherTraces(src.spans)
	if f.json {
		return errors.Join(a.writeJSON(tracesJSON(src, traces)), a.warn(src.title, src.problems))
	}
	left := 0
	if f.limit > 0 && len(traces) > f.limit {
		left = len(traces) - f.limit
		traces = traces[:f.limit]
	}
	t := &table{
		head:  []string{"TRACE", "ROOT", "START", "TIME", "PROCESSES", "SPANS", "ERRORS"},
		right: []bool{false, false, true, true, true, true, true},
		spare: []int{2, 4, 5},
		ids:   true,
	}
	for _, tr := range traces {
		t.add(fmt.Sprintf("%x", tr.id), tr.root, clock(tr.start), timeline.FormatDuration(tr.end-tr.start),
			timeline.FormatCount(int64(tr.processes)), timeline.FormatCount(int64(tr.spans)), timeline.FormatCount(int64(tr.errors)))
	}
	return errors.Join(a.writeTable(t, 1, left), a.warn(src.title, src.problems))
}

func clock(ns int64) string { return time.Unix(0, ns).Local().Format("15:04:05.000") }

// traceSummary is one trace of a source.
type traceSummary struct {
	id                       otlp.TraceID
	root                     string
	start, end               int64
	spans, errors, processes int
}

// gatherTraces sums the traces of spans up, earliest first.
func gatherTraces(spans []otlp.Span) []traceSummary {
	places := map[otlp.TraceID]int{}
	var traces []traceSummary
	byTrace := map[otlp.TraceID]map[int]bool{}
	t := timeline.Build(spans, timeline.Options{All: true})
	for i := range t.Rows {
		r := &t.Rows[i]
		if r.Span == nil {
			continue
		}
		at, ok := places[r.Span.TraceID]
		if !ok {
			at = len(traces)
			places[r.Span.TraceID] = at
			byTrace[r.Span.TraceID] = map[int]bool{}
			traces = append(traces, traceSummary{id: r.Span.TraceID, root: r.Name, start: r.Start, end: r.End})
		}
		tr := &traces[at]
		tr.spans++
		tr.start, tr.end = min(tr.start, r.Start), max(tr.end, r.End)
		if r.Status == otlp.StatusError {
			tr.errors++
		}
		byTrace[tr.id][r.Process] = true
	}
	for i := range traces {
		traces[i].processes = len(byTrace[traces[i].id])
	}
	slices.SortStableFunc(traces, func(a, b traceSummary) int { return cmp.Compare(a.start, b.start) })
	return traces
}

func (a *app) lsRequests(ctx context.Context, ref string, f lsFlags) error {
	src, err := a.load(ctx, ref)
	if err != nil {
		return err
	}
	opts := src.timelineOptions()
	opts.All = true
	tl := timeline.Build(src.spans, opts)
	rows := tl.RequestRows()
	if f.json {
		return errors.Join(a.writeJSON(requestsJSON(src, tl, rows)), a.warn(src.title, src.problems))
	}
	left := 0
	if f.limit > 0 && len(rows) > f.limit {
		left = len(rows) - f.limit
		rows = rows[:f.limit]
	}
	if len(rows) == 0 {
		a.note("no requests in " + src.title)
	}
	t := &table{
		head:  []string{"TRACE", "SPAN", "REQUEST", "PROCESS", "START", "FIRST TOKEN", "TIME", "STATUS"},
		right: []bool{false, false, false, false, true, true, true, false},
		spare: []int{1, 4, 3},
		ids:   true,
	}
	for _, r := range rows {
		status, firstToken := "ok", "-"
		switch {
		case r.Status == otlp.StatusError:
			status = "failed"
		case r.Unfinished:
			status = "unfinished"
		}
		if r.FirstToken > 0 {
			firstToken = timeline.FormatDuration(r.FirstToken)
		}
		t.add(fmt.Sprintf("%x", r.Span.TraceID), fmt.Sprintf("%x", r.Span.SpanID), r.Name, tl.Processes[r.Process].Label,
			clock(r.Start), firstToken, timeline.FormatDuration(r.Duration), status)
	}
	if len(rows) > 0 {
		err = a.writeTable(t, 2, left)
	}
	return errors.Join(err, a.warn(src.title, src.problems))
}

// writeTable prints a table as wide as the terminal, whose column give is shortened to fit, and how many rows were left out.
func (a *app) writeTable(t *table, give, left int) error {
	opts := a.textOptions(a.Stdout)
	var out bytes.Buffer
	out.Write(t.render(opts, give))
	if left > 0 {
		fmt.Fprintf(&out, "%s more: --limit 0\n", timeline.FormatCount(int64(left)))
	}
	if _, err := a.Stdout.Write(out.Bytes()); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
