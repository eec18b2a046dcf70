package cli

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"forkspan.dev/forkspan/internal/ready"
	"forkspan.dev/forkspan/internal/supervise"
)

// runFlags are the flags of `forkspan run`.
type runFlags struct {
	name         string
	ready        string
	readyTimeout time.Duration
	untilReady   bool
	grace        time.Duration

	noArgs       bool
	newRun       bool
	linkParent   bool
	ignoreParent bool
	noPropagate  bool
	noSubreaper  bool
	noJournal    bool
	instrument   string // "" or instrumentPython

	linger          time.Duration
	drain           time.Duration // or drainByPlace
	forward         forwardFlags
	summary         string // "", "text" or "md"
	quiet           bool
	output          string
	outputProcesses bool
	proxies         []string
	anyUser         bool
	sample          bool // the demo's, which says itself what to do next
}

const runLong = `Run a command and trace all its processes into one trace.

The command gets a loopback port that takes OTLP over gRPC and HTTP, and a parent for its spans, both through its
environment: every process below it that has an OpenTelemetry SDK, or uses the forkspan library, joins in. Spans are
stored as they come; when the command ends, a line on stderr says what became of them, and the waterfall is drawn if
stderr is a terminal. stdin, stdout, signals and the exit status are the command's own.

In the arguments {forkspan.endpoint}, {forkspan.hostport}, {forkspan.traceparent}, {forkspan.trace_id} and
{forkspan.run} are replaced. vllm serve and SGLang get the flags they need to export spans (--no-args for none).

Inside another run only a span is added to that run (--new-run for a run of its own).

A command that is not there ends in status 127, one that cannot be executed in 126, one that was not ready in time
(--until-ready) in 124, wrong use of forkspan run in 2.`

const runExample = `  forkspan run -- make -j8
  forkspan run -- vllm serve Qwen/Qwen3-0.6B
  forkspan run --until-ready -o cold.jsonl.gz -- vllm serve Qwen/Qwen3-0.6B
  forkspan run --ready tcp:127.0.0.1:8080 -- ./server`

func newRun(a *app) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:     "run [flags] [--] command [args…]",
		Short:   "Run a command and trace all its processes",
		Long:    runLong,
		Example: runExample,
		// The command's arguments are files as often as not.
		ValidArgsFunction: completeFiles,
		RunE: func(_ *cobra.Command, argv []string) error {
			if len(argv) == 0 {
				return withHint(&exitError{status: statusUsage, err: errors.New("run: no command given")},
					"forkspan run -- COMMAND [ARGS…]")
			}
			return a.run(f, argv)
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false) // what follows the command's name is the command's
	flags.StringVar(&f.name, "name", "", "name of the run and its span (default: the program's name)")
	flags.StringVar(&f.ready, "ready", "", "`CONDITION` that ends the start-up: URL, tcp:HOST:PORT or span:NAME")
	flags.DurationVar(&f.readyTimeout, "ready-timeout", 30*time.Minute, "stop waiting for --ready after this time; 0 for never")
	flags.Lookup("ready-timeout").DefValue = "30m"
	flags.BoolVar(&f.untilReady, "until-ready", false, "stop the command when it is ready, and exit 0")
	flags.DurationVar(&f.grace, "grace", 10*time.Second, "time the command has to end before it is killed (--until-ready)")
	flags.BoolVar(&f.noArgs, "no-args", false, "add no flags to servers we know")
	flags.BoolVar(&f.newRun, "new-run", false, "begin a run of its own inside another run")
	flags.BoolVar(&f.linkParent, "link-parent", false, "begin a new trace, linked to the TRACEPARENT of the environment")
	flags.BoolVar(&f.ignoreParent, "ignore-parent", false, "begin a new trace whatever TRACEPARENT says")
	flags.BoolVar(&f.noPropagate, "no-propagate", false, "give the command no parent: its processes begin traces of their own")
	flags.BoolVar(&f.noSubreaper, "no-subreaper", false, "do not adopt the command's orphans")
	flags.BoolVar(&f.noJournal, "no-journal", false, "programs with the forkspan library send their spans to the port, too, instead of files")
	addInstrument(cmd, &f.instrument)
	flags.DurationVar(&f.linger, "linger", time.Second, "time to stay for descendants that still send spans")
	flags.DurationVar(&f.drain, "drain", drainByPlace, "time to pass spans on to your backend at the end (default 50ms; 10s as PID 1 or in CI)")
	flags.Lookup("drain").DefValue = "0s" // told in words
	addForwardFlags(flags, &f.forward)
	choice(flags, &f.summary, "summary", "", []string{"text", "md"}, "draw the waterfall although stderr is no terminal, as text or md")
	flags.Lookup("summary").NoOptDefVal = "text"
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print nothing of our own")
	flags.StringVarP(&f.output, "output", "o", "", "write the run to `FILE`, in the format that its name says, as forkspan export does")
	flags.BoolVar(&f.outputProcesses, "output-processes", false, "write a span for each process, too (-o)")
	flags.StringArrayVar(&f.proxies, "proxy", nil, "record requests: `LISTEN:UPSTREAM` as forkspan proxy --listen LISTEN UPSTREAM (may be repeated)")
	flags.BoolVar(&f.anyUser, "any-user", false, "take spans of other users of this machine, too")
	_ = cmd.RegisterFlagCompletionFunc("summary", completeWords("text", "md")) // these fail for an unknown flag only
	_ = cmd.RegisterFlagCompletionFunc("output", completeFiles)
	a.addStoreFlags(cmd)
	cmd.MarkFlagsMutuallyExclusive("link-parent", "ignore-parent")
	return cmd
}

// check finds the contradictions in the flags before anything is started.
func (f *runFlags) check() (ready.Condition, error) {
	usage := func(format string, args ...any) error {
		return &exitError{status: statusUsage, err: fmt.Errorf("run: "+format, args...)}
	}
	if f.output == "-" {
		return ready.Condition{}, withHint(usage("stdout is the command's own"), "-o FILE")
	}
	for flag, d := range map[string]time.Duration{
		"linger": f.linger, "grace": f.grace, "ready-timeout": f.readyTimeout, "drain": f.drain,
	} {
		if d < 0 && d != drainByPlace {
			return ready.Condition{}, usage("--%s is negative", flag)
		}
	}
	if f.ready == "" {
		return ready.Condition{}, nil
	}
	c, err := ready.Parse(f.ready)
	if err != nil {
		return c, usage("%w", err)
	}
	return c, nil
}

// drainByPlace stands for the --drain that fits the place we run in.
const drainByPlace time.Duration = -1

// drainTime is how long the end waits for the user's backend. As PID 1 and in CI no later forkspan finds what is left.
func (f *runFlags) drainTime(env func(string) string) time.Duration {
	switch {
	case f.drain >= 0:
		return f.drain
	case os.Getpid() == 1 || env("CI") != "":
		return 10 * time.Second
	}
	return 50 * time.Millisecond
}

// run runs argv. It returns only when forkspan itself has something to say with its exit status; otherwise the process ends
// as the command did.
func (a *app) run(f runFlags, argv []string) error {
	condition, err := f.check()
	if err != nil {
		return err
	}
	proxies, err := parseProxies(f.proxies)
	if err != nil {
		return err
	}
	s := newSession(a, f, argv)
	if err := s.prepare(condition); err != nil {
		return err
	}
	s.startProxies(proxies)
	outcome, err := s.supervise()
	if err != nil {
		if start, ok := errors.AsType[*supervise.StartError](err); ok {
			return &exitError{status: start.Status, err: start.Err}
		}
		return err
	}
	supervise.Exit(outcome)
	return nil
}
