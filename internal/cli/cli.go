package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"forkspan.dev/forkspan/internal/redact"
)

// Streams are the files and the environment a command works with; tests put their own in.
type Streams struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Env    func(string) string
}

// Standard returns the process's own streams and environment.
func Standard() Streams {
	return Streams{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Env: os.Getenv}
}

// app is what all commands share.
type app struct {
	Streams
	dbPath string // --db; empty for the default place
	color  string // --color: auto, always or never

	completing bool // for the shell, whose user wants to read nothing else

	storing storeFlags // of commands that write to the store
}

// exitError ends forkspan with a status of its own. A nil err prints nothing.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// hintError adds what the user can do about err; it is printed on a line of its own.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

// withHint attaches a hint for the user to err; a nil err stays nil.
func withHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hintError{err: err, hint: fmt.Sprintf(format, args...)}
}

// The exit statuses of forkspan's own errors; a command under `run` brings its own.
const (
	statusError       = 1
	statusUsage       = 2
	statusInterrupted = 130 // that of a program that died of SIGINT
	statusBrokenPipe  = 141 // that of a program that died of SIGPIPE
)

// Main runs forkspan with args (without the program's name) and returns its exit status.
func Main(args []string, streams Streams) int {
	a := &app{Streams: streams}
	root := newRoot(a)
	if len(args) > 0 && args[0] == cobra.ShellCompRequestCmd {
		plainUsage(root)
	}
	root.SetArgs(shieldReferences(root, args))
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	return a.report(root.ExecuteContext(context.Background()))
}

// report prints err as the user sees it and returns the exit status it stands for.
func (a *app) report(err error) int {
	if err == nil {
		return 0
	}
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) {
		return statusBrokenPipe
	}
	status := statusError
	if exit, ok := errors.AsType[*exitError](err); ok {
		status = exit.status
		if exit.err == nil {
			return status
		}
	}
	fmt.Fprintf(a.Stderr, "forkspan: %s\n", redact.String(err.Error()))
	if hint, ok := errors.AsType[*hintError](err); ok {
		fmt.Fprintf(a.Stderr, "hint: %s\n", redact.String(hint.hint))
	}
	return status
}
