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
	defer signal.Stop(p.wake)
	defer signal.Stop(p.signals)
	defer p.release()
	p.stopWith(p.poll()) // a SIGCHLD may have come before it was asked for
	for {
		select {
		case <-p.wake:
			p.stopWith(p.poll())
		case sig := <-p.signals:
			if sig == unix.SIGCONT {
				p.passContinue()
			} else {
				p.pass(sig.(syscall.Signal))
			}
		case <-p.closing:
			return
		}
	}
}

// passContinue deals with a CONT. One that came to the command too needs no passing on; if the command has been stopped
// since, it would undo that, unless the stop is none that we take part in.
func (p *Process) passContinue() {
	before := p.events
	stopped := p.poll()
	if p.events == before || stopped != 0 && !p.stopWith(stopped) {
		p.pass(unix.SIGCONT)
	}
}

// stopWith stops us as the command has stopped by sig, 0 for not at all, and gets both going again. It tells whether we
// were stopped.
func (p *Process) stopWith(sig syscall.Signal) (done bool) {
	for sig != 0 && p.hasStopped() && stopSelf(sig) {
		done = true
		continued := p.catchUp()
		before := p.events
		sig = p.poll()
		// Usually the CONT was for the whole group. Then the command has had its own, and may by now have been stopped
		// anew, which ours must not undo.
		if continued && p.events == before && p.hasStopped() {
			p.signal(unix.SIGCONT)
		}
	}
	return done
}

// marker is a signal we send ourselves. It is not passed on, and Go hands it out after those it got earlier and after
// the lower ones it got at the same time.
const marker = unix.SIGXFSZ

// catchUp deals with the signals from before and during a stop, which may come to us long after it. What stopped the
// terminal's group and what continued it is over. It tells whether we were continued.
func (p *Process) catchUp() (continued bool) {
	raise(marker)
	giveUp := time.NewTimer(time.Second) // for the case that 128 signals were waiting and the marker was lost
	defer giveUp.Stop()
	for {
		select {
		case sig := <-p.signals:
			switch sig {
			case marker:
				return continued
			case unix.SIGCONT:
				continued = true
			case unix.SIGTSTP:
			default:
				p.pass(sig.(syscall.Signal))
			}
		case <-giveUp.C:
			return continued
		}
	}
}

// poll takes what the system has to tell about the command and reaps orphans. It returns the signal by which the
// command has stopped since the last time, 0 when it has not, or runs again.
func (p *Process) poll() (stopped syscall.Signal) {
	for !p.ended() {
		event, ok := p.wait()
		if !ok {
			break
		}
		p.events++
		stopped = event
	}
	if p.reapOrphans() && p.ended() {
		p.aloneOnce.Do(func() { close(p.alone) })
	}
	return stopped
}

// wait takes one event of the command, if there is one: a stop, with its signal, a continuation or the end.
func (p *Process) wait() (stopped syscall.Signal, ok bool) {
	var status syscall.WaitStatus
	var usage syscall.Rusage
	family.Lock()
	defer family.Unlock()
	p.tellEnd(p.pid)
	pid, err := syscall.Wait4(p.pid, &status, syscall.WNOHANG|syscall.WUNTRACED|syscall.WCONTINUED, &usage)
	switch {
	case err == syscall.EINTR:
		return 0, true
	case err != nil: // somebody else in this process has taken the status
		p.end(Outcome{Code: 1, End: time.Now()})
		return 0, false
	case pid == 0:
		return 0, false
	case status.Stopped():
		return status.StopSignal(), true
	case status.Continued():
		return 0, true
	}
	p.tellEnded(status, &usage)
	p.end(p.outcomeOf(status, usage))
	return 0, false
}

// end makes the outcome known. The pid may be another process's from now on. The caller holds family.
func (p *Process) end(o Outcome) {
	delete(family.commands, p.pid)
	p.outcome = o
	close(p.done)
}

// release gives a command up that still runs.
func (p *Process) release() {
	family.Lock()
	defer family.Unlock()
	delete(family.commands, p.pid)
	if len(family.commands) == 0 {
		p.abandon()
	}
}

func (p *Process) outcomeOf(status syscall.WaitStatus, usage syscall.Rusage) Outcome {
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
	return o
}

// signal sends sig to the command unless it has ended.
func (p *Process) signal(sig syscall.Signal) {
	family.Lock()
	defer family.Unlock()
	if family.commands[p.pid] {
		// It fails only for a command that has become another user's: that one is not for us to signal.
		_ = syscall.Kill(p.pid, sig)
	}
}

// pass sends a signal we got on to the command, unless the terminal has sent it to the command already.
func (p *Process) pass(sig syscall.Signal) {
	if sig == unix.SIGPIPE || sig == unix.SIGXFSZ {
		return // about our own writes: these fail, and that is all
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

// afterEnd is what signals do once there is no command to pass them to.
func (p *Process) afterEnd(sig syscall.Signal) {
	switch sig {
	case unix.SIGTSTP:
		stopSelf(sig)
	case unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM:
		signal.Stop(p.signals)
		p.interruptOnce.Do(func() { close(p.interrupted) })
	}
}

// sharesTerminal tells whether what the terminal sends goes to the command as well as to us: our process group, which
// the command has not left, is in the foreground. (Go does not tell who sent a signal.)
func (p *Process) sharesTerminal() bool {
	group := unix.Getpgrp()
	theirs, err := unix.Getpgid(p.pid)
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

// listen asks for all signals that are passed on. One that was ignored at our start is not asked for, so that it stays
// ignored, for the command too.
func (p *Process) listen() {
	var wanted []os.Signal
	for sig := syscall.Signal(1); sig <= lastSignal; sig++ {
		switch sig {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGURG, unix.SIGTTIN, unix.SIGTTOU:
			continue
		}
		if !reserved(sig) && !ignored(sig) {
			wanted = append(wanted, sig)
		}
	}
	if len(wanted) > 0 { // none would mean all
		signal.Notify(p.signals, wanted...)
	}
}

func (p *Process) askToEnd() {
	p.signal(unix.SIGTERM)
	p.signal(unix.SIGCONT) // a stopped command would not take it
}

func (p *Process) kill() { p.signal(unix.SIGKILL) }
