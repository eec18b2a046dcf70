package supervise

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// system is the part of a Process that is Windows' own.
type system struct {
	process *os.Process
	signals chan os.Signal
}

func (p *Process) start(cmd Command) error {
	file, err := exec.LookPath(cmd.Path)
	if err != nil {
		return startError(cmd.Path, err)
	}
	stdio := []*os.File{cmd.Stdin, cmd.Stdout, cmd.Stderr}
	for i, own := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if stdio[i] == nil {
			stdio[i] = own
		}
	}
	p.signals = make(chan os.Signal, 16)
	// The console sends an interrupt to the command too; taken so that it does not end us.
	signal.Notify(p.signals, os.Interrupt)
	p.started = time.Now()
	p.process, err = os.StartProcess(file, append([]string{cmd.Path}, cmd.Args...), &os.ProcAttr{Env: cmd.Env, Files: stdio})
	if err != nil {
		signal.Stop(p.signals)
		return startError(cmd.Path, err)
	}
	p.pid = p.process.Pid
	return nil
}

func startError(name string, err error) error {
	status := 126
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		status = 127
	}
	var of *exec.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	return &StartError{status, fmt.Errorf("run %q: %w", name, err)}
}

// watch waits for the end and takes interrupts, until Close.
func (p *Process) watch() {
	defer close(p.closed)
	defer signal.Stop(p.signals)
	go func() {
		state, err := p.process.Wait()
		p.outcome = Outcome{Code: 1, End: time.Now()}
		if err == nil {
			p.outcome.Code, p.outcome.User, p.outcome.System = state.ExitCode(), state.UserTime(), state.SystemTime()
		}
		close(p.done)
		close(p.alone)
	}()
	for {
		select {
		case <-p.signals:
			if p.ended() {
				signal.Stop(p.signals)
				p.interruptOnce.Do(func() { close(p.interrupted) })
			}
		case <-p.closing:
			return
		}
	}
}

// askToEnd ends the command: Windows has no TERM.
func (p *Process) askToEnd() { p.kill() }

func (p *Process) kill() {
	_ = p.process.Kill() // fails when it has ended by itself
}

func (p *Process) askAdopted(map[int]bool)   {}
func (p *Process) killAdopted()              {}
func (p *Process) descendants() []Descendant { return nil }

// endBySignal returns: there are no signals to end by.
func endBySignal(syscall.Signal) {}
