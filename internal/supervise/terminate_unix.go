//go:build unix

package supervise

import (
	"time"

	"golang.org/x/sys/unix"
)

// Terminate ends the command: TERM, after grace KILL. It returns when the command has ended.
func (p *Process) Terminate(grace time.Duration) Outcome {
	p.signal(unix.SIGTERM)
	p.signal(unix.SIGCONT) // a stopped command would not take it
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.signal(unix.SIGKILL)
	}
	return p.Outcome()
}
