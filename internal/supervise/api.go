package supervise

import (
	"os"
	"syscall"
	"time"
)

// Command is what to run.
type Command struct {
	Path                  string   // as the user typed it; looked up in PATH
	Args                  []string // without the program
	Env                   []string
	Stdin, Stdout, Stderr *os.File // nil means our own
	NoSubreaper           bool
}

// StartError is a command that could not be started. Status is 127 when it was not found and 126 when it was not executable.
type StartError struct {
	Status int
	Err    error
}

func (e *StartError) Error() string { return e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }

// Outcome is how a command ended.
type Outcome struct {
	Code         int            // exit code; -1 for a signal
	Signal       syscall.Signal // 0 when it exited
	CoreDumped   bool
	User, System time.Duration // CPU time of the command and of its descendants that were waited for
	MaxRSS       int64         // bytes
	End          time.Time
}

// Process is a running command.
type Process struct{}

// Start starts the command. From then on the signals we get are the command's.
func Start(cmd Command) (*Process, error) { panic("stub") }

// PID is the command's process id.
func (p *Process) PID() int { panic("stub") }

// Started is when the command was started.
func (p *Process) Started() time.Time { panic("stub") }

// Done is closed when the command has ended.
func (p *Process) Done() <-chan struct{} { panic("stub") }

// Outcome waits for the end and tells how it was.
func (p *Process) Outcome() Outcome { panic("stub") }

// Terminate ends the command: TERM, after grace KILL. It returns when the command has ended.
func (p *Process) Terminate(grace time.Duration) Outcome { panic("stub") }

// Exit ends this process as the command ended: with its exit code, or by the same signal. It does not return.
func Exit(o Outcome) { panic("stub") }
