package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"forkspan.dev/forkspan/internal/demo"
	"forkspan.dev/forkspan/internal/proxy"
	"forkspan.dev/forkspan/internal/ready"
	"forkspan.dev/forkspan/internal/supervise"
)

const demoLong = `Run a made-up model server of several processes and trace it.

An API server, an engine core and two workers, real processes that use the forkspan library, pretend to load a model,
answer a few requests, and lose a worker. The requests go through forkspan's proxy, which prints a line for each. It
takes about four seconds and needs nothing.`

const demoNext = `
Worker_1 failed on purpose. What to try next:

  forkspan show                 the same trace again
  forkspan show --requests      with every request, from the proxy to the engine
  forkspan ls --requests        the requests as a list
  forkspan report requests      how fast they were
  forkspan run -- COMMAND       your own program; vllm serve needs nothing more
`

func newDemo(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "demo",
		Short:   "Trace a sample server of several processes",
		Long:    demoLong,
		Example: `  forkspan demo`,
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context()) },
	}
}

// newDemoProcess is how the demo starts its processes.
func newDemoProcess(a *app) *cobra.Command {
	return &cobra.Command{
		Use:                demo.Command,
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			program, err := thisProgram()
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

// thisProgram is the path that the demo starts its processes from.
func thisProgram() (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", withHint(fmt.Errorf("demo: find the program of forkspan: %w", err),
			"the demo starts itself several times, for which it needs /proc; forkspan run -- COMMAND does not")
	}
	return program, nil
}

func (a *app) demo(ctx context.Context) error {
	program, err := thisProgram()
	if err != nil {
		return err
	}
	users, err := demo.NewUsers()
	if err != nil {
		return err
	}
	defer users.Close()
	fmt.Fprintln(a.Stdout, "Starting a made-up model server: an API server, an engine core and two workers.")
	// What is drawn is what was asked for: it goes to stdout.
	own := *a
	own.Stderr = a.Stdout
	s := newSession(&own, runFlags{
		name: "demo", newRun: true, ignoreParent: true, noArgs: true, summary: "text", linger: time.Second, sample: true,
	}, users.Server(program))
	s.forgetUserSettings()
	if err := s.prepare(ready.Condition{}); err != nil {
		return err
	}
	used := make(chan error, 1)
	go func() {
		used <- users.Use(ctx, func(server string) (string, func(), error) { return s.demoProxy(server, a.Stderr) })
	}()
	outcome, err := s.supervise()
	if err != nil {
		return err
	}
	_ = users.Close()
	err = <-used
	if outcome.Signal != 0 {
		supervise.Exit(outcome) // the user has had enough, as the account says
	}
	if err != nil {
		return err
	}
	if outcome.Code != statusError {
		return errors.New("the sample server did not end as planned")
	}
	_, err = fmt.Fprint(a.Stdout, demoNext)
	return err
}

// demoProxy puts a proxy in front of a server, as --proxy of run does. It returns the proxy's address and how to end it.
func (s *session) demoProxy(server string, lines io.Writer) (address string, end func(), err error) {
	p, err := proxy.Listen("127.0.0.1:0", proxy.Config{
		Upstream: &url.URL{Scheme: "http", Host: server}, Sink: ownProxy{s.rec}, RunID: s.runID, Lines: lines,
	})
	if p == nil {
		return "", nil, err
	}
	return p.Addr().String(), func() {
		ctx, cancel := context.WithTimeout(context.Background(), closePatience)
		defer cancel()
		_ = p.Shutdown(ctx) // spans that are not stored are counted by the run
	}, nil
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
