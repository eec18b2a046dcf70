package proctree

import (
	"sync"
	"syscall"
	"time"
)

// Options are how a tree is watched. The zero value is right for a program that is no subreaper.
type Options struct {
	// Subreaper says that orphans of the tree become our children.
	Subreaper bool
	// NoEvents looks for processes even where the kernel would tell of them.
	NoEvents bool
	// Limit is how many processes are remembered, 100,000 when 0. Those that come later are counted.
	Limit int

	proc        string // where proc is mounted, for tests
	eventBuffer int    // bytes, for tests
}

const defaultLimit = 100_000

// Watcher watches one tree of processes. Its methods may be called from several goroutines.
type Watcher struct {
	options Options
	mu      sync.Mutex // guards tree
	tree    tree

	watching chan struct{} // closed when events come, or none will
	begun    chan struct{} // closed by Follow
	begin    sync.Once
	stopping chan struct{} // closed by Stop
	stop     sync.Once
	stopped  chan struct{} // closed when nothing of ours runs any more
	system
}

// New gets ready to watch, in the background. Stop must be called.
func New(options Options) *Watcher {
	if options.Limit <= 0 {
		options.Limit = defaultLimit
	}
	w := &Watcher{
		options:  options,
		watching: make(chan struct{}),
		begun:    make(chan struct{}),
		stopping: make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	w.tree.init(options.Limit)
	w.prepare()
	go func() {
		defer close(w.stopped)
		w.run()
	}()
	return w
}

// Await waits until events come, where they are permitted: of a root that is started after that nothing is missed.
func (w *Watcher) Await() { <-w.watching }

// Watch watches the process root, which is or was a child of ours, and all below it. It returns at once.
func Watch(root int, options Options) *Watcher {
	w := New(options)
	w.Follow(root)
	return w
}

// Follow names the root, once: the first call counts. [Watcher.Reaped] may be called before it.
func (w *Watcher) Follow(root int) {
	w.begin.Do(func() {
		started := time.Now()
		start, latest := w.startOf(root)
		if !latest.IsZero() && latest.Before(started) {
			started = latest // we come late
		}
		w.mu.Lock()
		w.tree.setRoot(ID{root, start}, started)
		w.mu.Unlock()
		close(w.begun)
	})
}

// Processes is what is known of the tree now: every process there was, those of equal start in the order they were seen,
// the root first.
func (w *Watcher) Processes() []Process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tree.snapshot()
}

// Lookup tells which process of the tree has this pid, or had it last.
func (w *Watcher) Lookup(pid int) (ID, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.tree.byPID[pid]; n != nil {
		return n.ID, true
	}
	return ID{}, false
}

// Coverage is how completely the tree has been watched until now.
func (w *Watcher) Coverage() Coverage {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.coverage()
}

// Reaped tells how a child of ours ended: the root or an adopted orphan. To be exact about which process that was it must
// be called before another can have the pid: with the status and use that waitid gives for WNOWAIT.
func (w *Watcher) Reaped(pid int, status syscall.WaitStatus, usage *syscall.Rusage) {
	w.reaped(pid, status, usage)
}

// Stop ends the watching. What was seen until then stays to be asked for.
func (w *Watcher) Stop() {
	w.stop.Do(func() {
		close(w.stopping)
		w.wake()
	})
	<-w.stopped
}
