package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"forkspan.dev/forkspan"
)

// Command is the hidden subcommand under which this binary starts itself as one of the processes.
const Command = "demo-process"

// Process is one process of the demo.
type Process struct {
	Program string // this binary
	name    string
}

// apiServer is the role of the process that starts all others.
const apiServer = "api-server"

// Run plays a role until it is over. The error is that of the process, not of its tracing.
func Run(ctx context.Context, program string, args []string) error {
	p := &Process{Program: program}
	switch {
	case len(args) == 2 && args[0] == apiServer:
		users := args[1]
		return p.traced(ctx, "api_server", "APIServer", func(ctx context.Context) error { return p.serve(ctx, users) })
	case len(args) == 1 && args[0] == "engine-core":
		return p.traced(ctx, "engine_core", "EngineCore", p.engine)
	case len(args) == 2 && args[0] == "worker":
		rank, err := strconv.Atoi(args[1])
		if err != nil {
			return fmt.Errorf("worker's rank: %w", err)
		}
		return p.traced(ctx, "worker", "Worker_"+args[1], func(ctx context.Context) error { return p.work(ctx, rank) })
	}
	return errors.New("no such role")
}

// traced runs a role with tracing set up for its process.
func (p *Process) traced(ctx context.Context, kind, name string, role func(context.Context) error) error {
	tracer, err := forkspan.InitWorker(ctx, "forkspan.demo", kind, name)
	if err != nil {
		fmt.Fprintf(os.Stderr, "tracing: %v\n", err)
	}
	p.name = name
	err = role(ctx)
	return errors.Join(err, tracer.Shutdown(ctx))
}

// logf writes a line in the manner of a server's log.
func (p *Process) logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "(%s pid=%d) %s\n", p.name, os.Getpid(), fmt.Sprintf(format, args...))
}

// child returns another process of the demo, whose parent span is the one in ctx.
func (p *Process) child(ctx context.Context, role ...string) *exec.Cmd {
	cmd := forkspan.Command(ctx, p.Program, append([]string{Command}, role...)...)
	cmd.Stderr = os.Stderr
	return cmd
}

// phase is a span of pretended work.
func phase(ctx context.Context, name string, took time.Duration, parts ...func(context.Context) error) error {
	return forkspan.Do(ctx, name, func(ctx context.Context) error {
		time.Sleep(took)
		for _, part := range parts {
			if err := part(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// part is a phase below another.
func part(name string, milliseconds int, parts ...func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		return phase(ctx, name, time.Duration(milliseconds)*time.Millisecond, parts...)
	}
}
