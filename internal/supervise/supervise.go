package supervise

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// Command is what to run.
type Command struct {
	// Path is the program as the user typed it. Without a slash it is looked up in PATH: that of Env.
	Path string
	// Args are the arguments without the program.
	Args []string
	// Env is the environment, nil for our own.
	Env []string
	// Stdin, Stdout and Stderr are handed over as they are, nil for our own.
	Stdin, Stdout, Stderr *os.File
	// NoSubreaper leaves the command's orphans to whom they would go without us. Its descendants are then not known.
	NoSubreaper bool
	// Reaped, if not nil, is told how the command and each adopted orphan ended, in one call at a time. On Linux that is
	// before another process can have the pid. The use is with that of the children that were waited for. It must be
	// quick, and must not call methods of the Process. Windows does not call it.
	Reaped func(pid int, status syscall.WaitStatus, usage *syscall.Rusage)
}

// StartError is a command that could not be started.
type StartError struct {
	// Status is the exit status a shell gives: 127 when the command was not found, 126 when it cannot be executed.
	Status int
	// Err is one line that names the command and the cause.
	Err error
}

// Error is Err's text.
func (e *StartError) Error() string { return e.Err.Error() }

// Unwrap is Err.
func (e *StartError) Unwrap() error { return e.Err }

// Outcome is how a command ended.
type Outcome struct {
	Code         int            // exit code; -1 for a signal
	Signal       syscall.Signal // 0 when it exited
	CoreDumped   bool
	User, System time.Duration // CPU time of the command and of its descendants that were waited for
	// MaxRSS is the peak resident memory in bytes of the command or of the largest of its descendants that were waited
	// for; 0 when it is not known.
	MaxRSS int64
	End    time.Time
}

// Process is a running command. Its methods may be called from several goroutines.
type Process struct {
	pid     int
	started time.Time
	done    chan struct{}
	outcome Outcome // written before done is closed
	reaped  func(pid int, status syscall.WaitStatus, usage *syscall.Rusage)

	alone       chan struct{} // closed when the command has ended and nothing it started is left, or known
	interrupted chan struct{} // see Interrupted
	closing     chan struct{} // closed by Close
	closed      chan struct{} // closed when nothing of ours runs any more

	aloneOnce, interruptOnce, closeOnce sync.Once
	system
}

// Start starts the command. From then on the signals we get are the command's, until [Process.Close]; where the system
// has subreapers and the command does not forbid it, we are one. The error is a [*StartError].
//
// A subreaper's orphans look like children that were started by the program itself: one that supervises must not start
// other processes at the same time and expect their exit status. With NoSubreaper it may.
func Start(cmd Command) (*Process, error) {
	p := &Process{reaped: cmd.Reaped}
	for _, c := range []*chan struct{}{&p.done, &p.alone, &p.interrupted, &p.closing, &p.closed} {
		*c = make(chan struct{})
	}
	if err := p.start(cmd); err != nil {
		return nil, err
	}
	go p.watch()
	return p, nil
}

// PID is the command's process id.
func (p *Process) PID() int { return p.pid }

// Started is when the command was started.
func (p *Process) Started() time.Time { return p.started }

// Done is closed when the command has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Outcome waits for the end and tells how it was.
func (p *Process) Outcome() Outcome {
	<-p.done
	return p.outcome
}

// Close ends the supervision: signals have their default effect again, orphans are no longer reaped. A command that
// still runs is left alone and its end is not learned. A program that ends by [Exit] need not call it.
func (p *Process) Close() {
	p.closeOnce.Do(func() { close(p.closing) })
	<-p.closed
}
