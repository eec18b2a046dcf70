//go:build unix

package supervise

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watch passes signals on and learns of the command's stops and of its end, until Close.
func (p *Process) watch() {
	defer close(p.closed)
	defer signal.Stop(p.children)
	defer signal.Stop(p.signals)
	resumed := false // we stopped with the command, and the CONT that woke us has not been seen yet
	p.poll()         // a SIGCHLD may have come before it was asked for
	for {
		select {
		case <-p.children:
			if sig := p.poll(); sig != 0 && p.hasStopped() {
				resumed = stopSelf(sig)
			}
		case sig := <-p.signals:
			sig0 := sig.(syscall.Signal)
			if sig0 == unix.SIGCONT && resumed && !p.hasStopped() {
				resumed = false // the CONT was for the whole group: the command has had its own
				continue
			}
			p.pass(sig0)
		case <-p.closing:
			return
		}
	}
}

// poll takes what the system has to tell about the command and reaps orphans. It returns the signal that stopped the
// command, if it is stopped now.
func (p *Process) poll() (stopped syscall.Signal) {
	for !p.ended() {
		var status syscall.WaitStatus
		var usage syscall.Rusage
		p.mu.Lock()
		pid, err := syscall.Wait4(p.pid, &status, syscall.WNOHANG|syscall.WUNTRACED|syscall.WCONTINUED, &usage)
		p.reaped = err == nil && pid == p.pid && (status.Exited() || status.Signaled()) || err == syscall.ECHILD
		p.mu.Unlock()
		switch {
		case err == syscall.EINTR:
			continue
		case p.reaped:
			p.end(status, usage)
		case pid == 0:
			p.reapOrphans()
			return stopped
		case status.Stopped():
			stopped = status.StopSignal()
		default:
			stopped = 0
		}
	}
	p.reapOrphans()
	return 0
}

func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *Process) end(status syscall.WaitStatus, usage syscall.Rusage) {
	o := Outcome{
		Code:   status.ExitStatus(),
		User:   time.Duration(usage.Utime.Nano()),
		System: time.Duration(usage.Stime.Nano()),
		End:    time.Now(),
	}
	if status.Signaled() {
		o.Signal, o.CoreDumped = status.Signal(), status.CoreDump()
	}
	// A forked child starts with its parent's peak, which exec does not take off. The kernel's counters are not exact.
	if rss := int64(usage.Maxrss) * maxRSSUnit; rss > p.ownRSS+p.ownRSS/8 {
		o.MaxRSS = rss
	}
	p.outcome = o
	close(p.done)
}

// signal sends sig to the command unless it has ended.
func (p *Process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		// It fails only for a command that has become another user's: then it is not for us to signal.
		_ = syscall.Kill(p.pid, sig)
	}
}

// pass sends a signal we got on to the command, unless the terminal has sent it to the command already.
func (p *Process) pass(sig syscall.Signal) {
	switch sig {
	case unix.SIGPIPE, unix.SIGXFSZ:
		return // about our own writes; taken so that they do not end us
	}
	if p.ended() {
		p.afterEnd(sig)
		return
	}
	switch sig {
	case unix.SIGINT, unix.SIGQUIT, unix.SIGTSTP, unix.SIGWINCH:
		if p.sharesTerminal() {
			return
		}
	}
	p.signal(sig)
}

// afterEnd is what signals do once there is no command to pass them to: the first that asks for an end cuts short the
// waiting for descendants, the next has its default effect.
func (p *Process) afterEnd(sig syscall.Signal) {
	switch sig {
	case unix.SIGTSTP:
		stopSelf(sig)
	case unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM:
		close(p.hurry)
		signal.Stop(p.signals)
	}
}

// sharesTerminal tells whether what the terminal sends goes to the command as well as to us: our process group, which
// it has not left, is in the foreground. Go does not tell who sent a signal.
func (p *Process) sharesTerminal() bool {
	group := unix.Getpgrp()
	p.mu.Lock()
	theirs, err := unix.Getpgid(p.pid)
	p.mu.Unlock()
	return err == nil && theirs == group && foreground() == group
}

// foreground is the foreground process group of our controlling terminal, 0 when there is no terminal.
func foreground() int {
	tty, err := unix.Open("/dev/tty", unix.O_RDONLY|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(tty)
	group, err := unix.IoctlGetInt(tty, unix.TIOCGPGRP)
	if err != nil {
		return 0
	}
	return group
}

// passedOn lists the signals to ask for. One that was ignored at our start is not asked for, so that it stays ignored,
// for the command too.
func passedOn() []os.Signal {
	var list []os.Signal
	for sig := syscall.Signal(1); sig <= lastSignal; sig++ {
		switch sig {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGURG, unix.SIGTTIN, unix.SIGTTOU:
			continue
		}
		if !reserved(sig) && !ignored(sig) {
			list = append(list, sig)
		}
	}
	return list
}
