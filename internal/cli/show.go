package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/internal/timeline"
)

// showFlags are the flags of `forkspan show`.
type showFlags struct {
	depth        int
	minDuration  time.Duration
	process      string
	errors       bool
	criticalPath bool
	all          bool
	noGroup      bool
	requests     bool
	processes    bool
	width        int
	json         bool
	follow       bool
}

const showLong = `Draw the spans of a run as a waterfall: start-up row by row, all requests as one row, equal ranks as one row.

` + referenceHelp + `

Drawn is the time from the command's start to the end of start-up; rows that begin later stand at the right edge.
At most a screenful is drawn, the longest and the failed rows first; the filters and --all lift that.`

const showExample = `  forkspan show                                # the latest run
  forkspan show -2 --errors                    # what failed in the one before
  forkspan show --follow                       # as it goes on
  forkspan show 7K3F --process Worker --depth 6
  forkspan show --processes                    # who started whom, who is silent
  forkspan show trace.json.gz --critical-path  # a file, without importing it
  forkspan show --all --json | jq .`

func newShow(a *app) *cobra.Command {
	var f showFlags
	cmd := references(&cobra.Command{
		Use:               "show [RUN | TRACE | FILE]",
		Short:             "Draw the waterfall of a run",
		Long:              showLong,
		Example:           showExample,
		Args:              atMostOne("run"),
		ValidArgsFunction: a.completeReferences(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.show(cmd.Context(), first(args), f)
		},
	})
	flags := cmd.Flags()
	flags.IntVar(&f.depth, "depth", 0, "draw this many `levels` of the tree")
	flags.DurationVar(&f.minDuration, "min-duration", 0, "leave out spans shorter than this `time`, for example 50ms")
	flags.StringVar(&f.process, "process", "", "only spans of processes with this `name` (or part of it), role, service, program or pid")
	flags.BoolVar(&f.errors, "errors", false, "only what failed")
	flags.BoolVar(&f.criticalPath, "critical-path", false, "only the spans that decided when start-up was over")
	flags.BoolVar(&f.requests, "requests", false, "requests row by row")
	flags.BoolVar(&f.noGroup, "no-group", false, "ranks one by one")
	flags.BoolVar(&f.all, "all", false, "everything: requests and ranks one by one, all of the time, no limit of rows")
	flags.BoolVar(&f.processes, "processes", false, "list processes, not spans: who started whom, first spans, how each ended")
	flags.IntVar(&f.width, "width", 0, "draw this many `columns` wide (default: the terminal, or 100)")
	flags.BoolVarP(&f.follow, "follow", "f", false, "draw a run again and again until it ends; where there is no terminal, once at its end")
	flags.BoolVar(&f.json, "json", false, "print spans with all details as JSON (docs/json.md)")
	return cmd
}

// first is the first argument, or "".
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func (f *showFlags) check() error {
	for flag, negative := range map[string]bool{"depth": f.depth < 0, "min-duration": f.minDuration < 0, "width": f.width < 0} {
		if negative {
			return &exitError{status: statusUsage, err: fmt.Errorf("show: --%s is negative", flag)}
		}
	}
	return nil
}

// filters tells whether only a part is asked for.
func (f *showFlags) filters() bool {
	return f.depth > 0 || f.minDuration > 0 || f.process != "" || f.errors || f.criticalPath || f.requests
}

func (a *app) show(ctx context.Context, ref string, f showFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	if f.follow {
		return a.follow(ctx, ref, f)
	}
	src, err := a.load(ctx, ref)
	if err != nil {
		return err
	}
	return a.printSource(src, f)
}

// printSource prints what show shows.
func (a *app) printSource(src *source, f showFlags) error {
	out := bufio.NewWriterSize(a.Stdout, 1<<16)
	err := a.writeSource(out, src, f)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return a.warn(src.title, src.problems)
}

func (a *app) writeSource(out *bufio.Writer, src *source, f showFlags) error {
	if f.processes {
		return a.showProcesses(out, src, f)
	}
	opts := src.timelineOptions()
	opts.MaxDepth, opts.MinDuration, opts.Process = f.depth, f.minDuration.Nanoseconds(), f.process
	opts.ErrorsOnly, opts.CriticalPath = f.errors, f.criticalPath
	opts.All, opts.NoGroup = f.all, f.noGroup
	opts.ListRequests = f.requests || src.trace != nil
	if !f.all && !f.filters() && !f.json {
		opts.MaxRows = a.screenful()
	}
	if f.json {
		opts.NoGroup, opts.ListRequests = true, true
	}
	t := timeline.Build(src.spans, opts)
	if f.json {
		return writeShowJSON(out, src, t)
	}
	return a.writeShow(out, src, t, f)
}

func (a *app) writeShow(out io.Writer, src *source, t *timeline.Timeline, f showFlags) error {
	text := a.textOptions(a.Stdout)
	if f.width > 0 {
		text.Width = f.width
	}
	separator := " - "
	if text.Unicode {
		separator = " · "
	}
	title := a.heading(src, text)
	title += separator + counted(t.Spans, "span", "spans") + separator + processCount(t, src)
	if traces := countTraces(src.spans); traces > 1 {
		title += separator + counted(traces, "trace", "traces")
	}
	if _, err := fmt.Fprintln(out, title); err != nil {
		return err
	}
	if len(t.Rows) == 0 && t.Spans > 0 {
		_, err := fmt.Fprintln(out, "no span matches")
		return err
	}
	if err := t.WriteText(out, text); err != nil {
		return err
	}
	times := "x"
	if text.Unicode {
		times = "×"
	}
	if line := silentLine(src.tree, times); line != "" && !f.filters() {
		_, err := fmt.Fprintln(out, line)
		return err
	}
	return nil
}

// processCount says how many processes there were; where nobody watched them, how many sent spans.
func processCount(t *timeline.Timeline, src *source) string {
	if len(src.tree) == 0 {
		return counted(senders(t, src.run), "process", "processes")
	}
	processes, silent := countTree(src.tree)
	text := counted(processes, "process", "processes")
	if silent > 0 {
		text += ", " + counted(silent, "silent", "silent")
	}
	return text
}

// senders counts the processes that sent spans. What forkspan itself says about its command, and a
// proxy of the run, comes from none of them.
func senders(t *timeline.Timeline, run *store.Run) int {
	n := len(t.Processes)
	for _, p := range t.Processes {
		if commandspan.FromForkspan(p.Process) || run != nil && run.Kind == "run" && p.PID == run.PID {
			n--
		}
	}
	return n
}

// screenful is how many rows fit the terminal with their heading; where there is none, as many as a reader looks through.
func (a *app) screenful() int {
	const piped, least, around = 200, 20, 6
	_, lines, terminal := terminalSize(a.Stdout)
	if !terminal || lines <= 0 {
		return piped
	}
	return max(least, lines-around)
}
