package supervise

import (
	"context"
	"time"
)

// Descendant is a process that the command, or a process below it, left behind.
type Descendant struct {
	PID    int
	Parent int    // our own pid for one that we have adopted
	Name   string // what the kernel calls the program, at most 15 bytes
}

// Descendants waits until the command has ended and nothing it started is left, or until ctx is done or
// [Process.Interrupted] is closed, and lists what lives then. It is empty where descendants are not known: without a
// subreaper, and while the command still runs.
func (p *Process) Descendants(ctx context.Context) []Descendant {
	select {
	case <-p.alone:
		return nil
	case <-ctx.Done():
	case <-p.interrupted:
	}
	if !p.ended() {
		return nil
	}
	return p.descendants()
}

// Interrupted is closed by the first HUP, INT, QUIT or TERM that comes after the command has ended. The next has its
// default effect.
func (p *Process) Interrupted() <-chan struct{} { return p.interrupted }

// flushTime is what descendants have to end by themselves after a command that was terminated: workers that flush last
// are the normal case.
const flushTime = time.Second

// killTime is how long we wait for processes that were killed. One that hangs in the kernel is left.
const killTime = 5 * time.Second

// Terminate ends the command and all it started: TERM to the command, KILL when it has not ended after grace. Descendants
// that it leaves have the rest of grace: at most a second of it to end by themselves, then TERM; then KILL. It returns
// when they have ended. Where descendants are not known it is about the command alone; on Windows that is ended at once.
func (p *Process) Terminate(grace time.Duration) Outcome {
	deadline := time.Now().Add(grace)
	p.askToEnd()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.kill()
		<-p.done
	}
	p.endDescendants(deadline)
	return p.outcome
}

// endDescendants ends what the command left: by TERM until the deadline, then by KILL.
func (p *Process) endDescendants(deadline time.Time) {
	if p.waitAlone(min(flushTime, time.Until(deadline)/2)) {
		return
	}
	// Their children come to us one generation after the other, hence the rounds.
	const round = 50 * time.Millisecond
	for asked := map[int]bool{}; time.Now().Before(deadline); {
		p.askAdopted(asked)
		if p.waitAlone(round) {
			return
		}
	}
	for giveUp := time.Now().Add(killTime); time.Now().Before(giveUp); {
		p.killAdopted()
		if p.waitAlone(round) {
			return
		}
	}
}

// waitAlone waits until nothing of the command is left, at most for d.
func (p *Process) waitAlone(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.alone:
		return true
	case <-timer.C:
		return false
	}
}
