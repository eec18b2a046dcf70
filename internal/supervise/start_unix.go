//go:build unix

package supervise

import (
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// family keeps apart the children of this process: commands, each of which has one Process that waits for it, and
// orphans, which anyone may reap.
var family = struct {
	sync.Mutex              // held from a fork until its pid is in commands, and while a child is reaped or signalled
	commands   map[int]bool // those not reaped yet, by pid
}{commands: map[int]bool{}}

// system is the part of a Process that Unix systems share.
type system struct {
	signals chan os.Signal // all we get
	wake    chan os.Signal // SIGCHLD
	ownRSS  int64          // bytes: our peak when the command had been started
	events  int            // stops and continuations of the command that we have seen
	orphans
}

func (p *Process) start(cmd Command) error {
	env := cmd.Env
	if env == nil {
		env = os.Environ()
	}
	file, err := lookup(cmd.Path, env)
	if err != nil {
		return err
	}
	p.signals = make(chan os.Signal, 128)
	p.wake = make(chan os.Signal, 1) // one is enough: each time everything is looked at
	family.Lock()
	defer family.Unlock()
	p.adopt(!cmd.NoSubreaper)
	// PIPE is asked for twice: it must not end us when p.signals is stopped.
	signal.Notify(p.wake, unix.SIGCHLD, unix.SIGPIPE)
	p.listen()
	p.started = time.Now()
	p.pid, err = forkExec(cmd, file, env)
	if err != nil {
		signal.Stop(p.wake)
		signal.Stop(p.signals)
		return startError(cmd.Path, file, errnoOf(err))
	}
	family.commands[p.pid] = true
	p.ownRSS = peakRSS()
	return nil
}

// forkExec starts file with our descriptors, process group and limits, and the signal mask as the Go runtime has left it. A
// text that the kernel does not take for a program runs under /bin/sh.
func forkExec(cmd Command, file string, env []string) (int, error) {
	argv := slices.Concat([]string{cmd.Path}, cmd.Args)
	attr := &syscall.ProcAttr{
		Env:   env,
		Files: []uintptr{descriptor(cmd.Stdin, 0), descriptor(cmd.Stdout, 1), descriptor(cmd.Stderr, 2)},
	}
	pid, err := syscall.ForkExec(file, argv, attr)
	if err == syscall.ENOEXEC && isScript(file) {
		argv = slices.Concat([]string{"/bin/sh", file}, cmd.Args)
		pid, err = syscall.ForkExec("/bin/sh", argv, attr)
	}
	return pid, err
}

// descriptor is f's, or our own. Our own are not asked of os.Stdin and its like, which may have been replaced.
func descriptor(f *os.File, own uintptr) uintptr {
	if f == nil {
		return own
	}
	return f.Fd()
}
