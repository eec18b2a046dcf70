package proctree

import (
	"syscall"
	"time"
)

type system struct{}

func (w *Watcher) prepare() {}

func (w *Watcher) run() { <-w.stopping }

func (w *Watcher) wake() {}

func (w *Watcher) coverage() Coverage { return Coverage{Unwatched: true} }

func (w *Watcher) reaped(pid int, status syscall.WaitStatus, usage *syscall.Rusage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.tree.byPID[pid]; n != nil && n.alive() {
		n.setStatus(int(status))
		w.tree.end(n, time.Now())
	}
}
