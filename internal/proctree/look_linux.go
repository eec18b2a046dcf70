package proctree

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	firstSample  = 50 * time.Millisecond // after the start
	sampleEvery  = time.Second
	sampleSeldom = 10 * time.Second
	sampleShare  = 500 // samples take at most one part in so many of a core
)

// measure keeps the CPU time that a process has used.
func (n *node) measure(s stat) {
	n.User, n.System = time.Duration(s.user)*tick, time.Duration(s.system)*tick
	if s.comm != "" {
		n.Program = s.comm
	}
}

// find reads what /proc has of a process, and tells whether it is not there any more: one that we may not see there may live.
func (w *Watcher) find(n *node) (s stat, gone bool) {
	s, err := w.proc.stat(n.PID)
	if err == nil {
		return s, !n.is(s.start)
	}
	return s, w.options.proc != "" || unix.Kill(n.PID, 0) == unix.ESRCH
}

// look reads what /proc has about a process. It is false when it is gone. The caller holds w.mu.
func (w *Watcher) look(n *node, c clocks) bool {
	s, err := w.proc.stat(n.PID)
	if err != nil || !n.is(s.start) {
		return false
	}
	w.take(n, s, c)
	return true
}

// take takes in what was read of a process.
func (w *Watcher) take(n *node, s stat, c clocks) {
	if n.guessed && !n.fixed {
		n.Start, n.guessed = s.start, false
	}
	n.measure(s)
	if s.zombie() {
		return
	}
	if s.stack > 1 {
		n.readable = true
		if n.stack > 1 && n.stack != s.stack { // an exec that nobody told of, or not yet
			w.tree.exec(n, c.wall)
		}
		n.stack = s.stack
	}
	// At the very beginning of an exec there are no arguments yet.
	const maxLooks = 4
	if n.Args == nil && n.looks < maxLooks {
		n.looks++
		w.tree.setArgs(n, w.proc.args(n.PID))
	}
}

// sample reads what every living process has used. The caller holds w.mu.
func (w *Watcher) sample(c clocks) {
	begun := startCost()
	for n := range w.tree.living {
		if !w.look(n, c) {
			// The event of its end may be on its way. It is missing when it has not come by the next time.
			if _, gone := w.find(n); gone {
				if n.gone {
					w.tree.end(n, c.wall)
				}
				n.gone = true
			}
			continue
		}
		if process, peak := w.proc.status(n.PID); process == n.PID {
			n.MaxRSS = max(n.MaxRSS, peak)
		}
	}
	w.oom.settle(c.wall)
	interval := max(2*w.sampled, firstSample)
	w.sampled = min(max(min(interval, sampleEvery), begun.cost()*sampleShare), sampleSeldom)
	w.sampleAt = time.Now().Add(w.sampled)
}

// cost is when something began.
type cost struct {
	wall time.Time
	cpu  int64
}

func startCost() cost { return cost{time.Now(), nanoseconds(unix.CLOCK_THREAD_CPUTIME_ID)} }

// cost is the CPU time since, as well as it is known: the goroutine may have changed threads.
func (c cost) cost() time.Duration {
	wall := time.Since(c.wall)
	cpu := time.Duration(nanoseconds(unix.CLOCK_THREAD_CPUTIME_ID) - c.cpu)
	if cpu <= 0 {
		return wall
	}
	return min(wall, cpu)
}
