//go:build !linux && !darwin && !windows

package proctree

import (
	"syscall"
	"time"
)

// system is what a Watcher needs of the system: nothing, as only the root is known.
type system struct{}

func (w *Watcher) prepare() {}

func (w *Watcher) run() {
	close(w.watching) // there are no events
	<-w.stopping
}

func (w *Watcher) wake() {}

func (w *Watcher) startOf(int) (start uint64, latest time.Time) { return 0, time.Time{} }

func (w *Watcher) coverage() Coverage { return Coverage{Unwatched: true} }

func (w *Watcher) reaped(pid int, status syscall.WaitStatus, usage *syscall.Rusage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.tree.byPID[pid]; n != nil && n.alive() {
		w.tree.end(n, time.Now())
	}
}
