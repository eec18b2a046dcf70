//go:build darwin || windows

package proctree

import (
	"syscall"
	"time"
)

// system is the part of a Watcher for systems that list all processes and tell nothing by themselves.
type system struct {
	cover  Coverage  // guarded by Watcher.mu
	looked time.Time // when the processes were listed last
	holds  holds     // guarded by Watcher.mu
}

// seen is a process in a list of all.
type seen struct {
	pid, parent int
	group       int    // process group; 0 where there are none
	start       uint64 // in the unit of ID; 0 when it has to be asked for
	program     string
}

const (
	listOften  = 10 * time.Millisecond  // while the tree changes
	listSeldom = 300 * time.Millisecond // when it does not
	listShare  = 100                    // listing takes at most one part in so many of a core
)

func (w *Watcher) prepare() { w.holds = newHolds() }

func (w *Watcher) wake() {}

func (w *Watcher) startOf(pid int) (start uint64, latest time.Time) { return startOf(pid) }

func (w *Watcher) coverage() Coverage {
	c := w.cover
	c.Beyond = w.tree.beyond
	return c
}

// run lists the processes again and again until Stop.
func (w *Watcher) run() {
	defer w.holds.close()
	close(w.watching) // there are no events
	select {
	case <-w.begun:
	case <-w.stopping:
		return
	}
	w.mu.Lock()
	w.looked = w.tree.root.Started
	w.holds.hold(w.tree.root)
	w.mu.Unlock()
	for interval := listOften; ; {
		cost, changed := w.look()
		if changed {
			interval = listOften
		} else {
			interval = min(interval*5/4, listSeldom)
		}
		timer := time.NewTimer(max(interval, cost*listShare))
		select {
		case <-timer.C:
		case <-w.stopping:
			timer.Stop()
			w.look()
			return
		}
	}
}

// look lists the processes once. It tells how long that took and whether the tree changes.
func (w *Watcher) look() (cost time.Duration, changed bool) {
	begun := time.Now()
	list, err := listProcesses()
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.cover.Unwatched = true
		return now.Sub(begun), false
	}
	w.cover.Step = max(w.cover.Step, now.Sub(w.looked))
	w.looked = begun
	there := make(map[int]seen, len(list))
	for _, s := range list {
		there[s.pid] = s
	}
	for n := range w.tree.living {
		s, ok := there[n.PID]
		if !ok || s.start != 0 && n.Start != 0 && s.start != n.Start || w.holds.ended(n) {
			w.tree.end(n, now)
			w.holds.finish(n)
			continue
		}
		n.Program = s.program
		w.holds.sample(n)
	}
	// Each round finds the children of those that were found in the one before.
	for again := true; again; {
		again = false
		for _, s := range list {
			if w.adopt(s, now) {
				again = true
			}
		}
	}
	return now.Sub(begun), now.Sub(w.tree.changed) < time.Second
}

// adopt takes a process in if it is one of the tree that is not known.
func (w *Watcher) adopt(s seen, now time.Time) bool {
	parent := w.tree.byPID[s.parent]
	if parent == nil && s.group != 0 {
		parent = w.tree.byPID[s.group] // its own parent has ended
	}
	if known := w.tree.byPID[s.pid]; parent == nil || known != nil && known.alive() || s.pid == s.parent {
		return false
	}
	start, started := s.start, timeOf(s.start)
	if start == 0 {
		if start, started = startOf(s.pid); start == 0 {
			return false
		}
	}
	if known := w.tree.byPID[s.pid]; start < parent.Start || known != nil && known.Start == start {
		return false // the parent's pid was another's then; or it is a zombie
	}
	var forker *node
	if parent.PID == s.parent {
		forker = parent
	}
	n := w.tree.fork(forker, ID{PID: s.pid, Start: start}, started)
	n.guessed, n.Program, n.Args = false, s.program, nil
	w.holds.hold(n)
	return true
}

func (w *Watcher) reaped(pid int, status syscall.WaitStatus, usage *syscall.Rusage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.tree.byPID[pid]
	if n == nil || n.Exited {
		return
	}
	n.Exited, n.Code, n.Signal = true, status.ExitStatus(), 0
	if status.Signaled() {
		n.Code, n.Signal = -1, int(status.Signal())
	}
	if usage != nil {
		n.User, n.System = cpuOf(usage)
	}
	if n.alive() {
		w.tree.end(n, time.Now())
	}
}
