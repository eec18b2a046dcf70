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

// system is the part of a Process that Unix systems share.
type system struct {
	mu     sync.Mutex // held while the pid is used or given up
	reaped bool       // the pid may be another process's by now

	signals   chan os.Signal // everything we get and may pass on
	children  chan os.Signal // SIGCHLD
	subreaper bool
	ownRSS    int64         // bytes: our peak when the command had been started
	hurry     chan struct{} // closed by a signal that came after the command's end
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
	p.hurry = make(chan struct{})
	p.children = make(chan os.Signal, 1) // one is enough: each wake-up looks at everything
	p.signals = make(chan os.Signal, 128)
	if !cmd.NoSubreaper {
		p.subreaper = p.adopt()
	}
	signal.Notify(p.children, unix.SIGCHLD)
	signal.Notify(p.signals, passedOn()...)
	p.started = time.Now()
	p.pid, err = fork(cmd, file, env)
	if err != nil {
		signal.Stop(p.children)
		signal.Stop(p.signals)
		return startError(cmd.Path, file, errnoOf(err))
	}
	p.ownRSS = peakRSS()
	return nil
}

// fork starts file with our descriptors, process group, signal mask and limits. A text the kernel takes for no program
// runs under /bin/sh.
func fork(cmd Command, file string, env []string) (int, error) {
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
