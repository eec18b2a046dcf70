//go:build unix && !linux

package supervise

import (
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	lastSignal = syscall.Signal(31)
	maxRSSUnit = 1 // ru_maxrss is in bytes
)

// reserved tells whether the Go runtime keeps sig to itself.
func reserved(sig syscall.Signal) bool { return sig == unix.SIGPROF }

func ignored(sig syscall.Signal) bool { return signal.Ignored(sig) }

// stopSelf stops this process and returns when it has been continued. The shell sees SIGSTOP whatever stopped the
// command: the Go runtime's handler for the terminal's signals cannot be taken out.
func stopSelf(sig syscall.Signal) bool {
	if sig == unix.SIGSTOP && foreground() == 0 {
		return false // without job control nobody would see us stop and wake us
	}
	return syscall.Kill(syscall.Getpid(), unix.SIGSTOP) == nil
}

func raise(sig syscall.Signal) { _ = syscall.Kill(syscall.Getpid(), sig) }

// endBySignal ends this process by sig. It returns where the Go runtime would print a traceback instead.
func endBySignal(sig syscall.Signal) {
	switch sig {
	case unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGKILL:
		_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
		signal.Reset(sig)
		if syscall.Kill(syscall.Getpid(), sig) == nil {
			select {} // the signal is on its way
		}
	}
}

// tellEnd tells nothing: there is no waitid that shows the use of a child and leaves it.
func (p *Process) tellEnd(int) {}

// tellEnded tells whoever wants to know how the command ended.
func (p *Process) tellEnded(status syscall.WaitStatus, usage *syscall.Rusage) {
	if p.reaped != nil {
		p.reaped(p.pid, status, usage)
	}
}

// orphans is nothing: there are no subreapers.
type orphans struct{}

func (p *Process) adopt(bool)                {}
func (p *Process) abandon()                  {}
func (p *Process) reapOrphans() (none bool)  { return true }
func (p *Process) askAdopted(map[int]bool)   {}
func (p *Process) killAdopted()              {}
func (p *Process) descendants() []Descendant { return nil }

// hasStopped is asked just after the command was seen to stop.
func (p *Process) hasStopped() bool { return true }

// peakRSS is 0: a child does not start with its parent's peak.
func peakRSS() int64 { return 0 }
