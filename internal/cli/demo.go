package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"forkspan.dev/forkspan/internal/demo"
	"forkspan.dev/forkspan/internal/ready"
)

const demoLong = `Run a made-up model server of several processes and trace it.

An API server, an engine core and two workers, real processes that use the forkspan library, pretend to load a model,
answer a few requests over HTTP, and lose a worker. It takes about four seconds and needs nothing.`

const demoNext = `
Worker_1 failed on purpose. What to try next:

  forkspan show                 the same trace again
  forkspan show --all           with every request and every rank
  forkspan ls                   all runs
  forkspan run -- COMMAND       your own program; vllm serve needs nothing more
`

func newDemo(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "demo",
		Short:   "Trace a sample server of several processes",
		Long:    demoLong,
		Example: `  forkspan demo`,
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.demo() },
	}
}

// newDemoProcess is how the demo starts its processes.
func newDemoProcess(a *app) *cobra.Command {
	return &cobra.Command{
		Use:                demo.Command,
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			program, err := os.Executable()
			if err != nil {
				return err
			}
			if err := demo.Run(cmd.Context(), program, args); err != nil {
				return &exitError{status: statusError} // the process has logged it, or its parent does
			}
			return nil
		},
	}
}

func (a *app) demo() error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	fmt.Fprintln(a.Stdout, "Starting a made-up model server: an API server, an engine core and two workers.")
	// What is drawn is what was asked for: it goes to stdout.
	own := *a
	own.Stderr = a.Stdout
	s := newSession(&own, runFlags{
		name: "demo", newRun: true, ignoreParent: true, noArgs: true, summary: "text", linger: time.Second, sample: true,
	}, []string{program, demo.Command, demo.APIServer})
	s.forgetUserSettings()
	if err := s.prepare(ready.Condition{}); err != nil {
		return err
	}
	outcome, err := s.supervise()
	if err != nil {
		return err
	}
	if outcome.Code != statusError {
		return errors.New("the sample server did not end as planned")
	}
	_, err = fmt.Fprint(a.Stdout, demoNext)
	return err
}

// forgetUserSettings keeps the demo apart from the user's own tracing: its spans go to no backend, no sampler drops them.
func (s *session) forgetUserSettings() {
	var kept []string
	for _, entry := range s.base {
		if !strings.HasPrefix(entry, "OTEL_") {
			kept = append(kept, entry)
		}
	}
	s.setEnvironment(kept)
}
