package proctree

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// system is the part of a Watcher that is Linux's.
type system struct {
	poller *poller // nil when the system has no more descriptors for us: then only the root is known
	proc   *procfs // the watching goroutine's

	// Of the watching goroutine alone.
	connector *connector // nil without events
	handles   handles
	births    births
	oom       oomWatch
	dropped   bool    // events are missing
	young     []*node // found lately, and may run another program soon
	sampleAt  time.Time
	sampled   time.Duration // the interval between samples
	lingering map[*node]lingering

	// Guarded by Watcher.mu.
	reaps    []reap
	cover    Coverage
	forksAt  int64 // the machine's count when the watching began
	forksEnd int64 // and when it ended
	ownPeak  int64 // our own peak memory, with which the root started
}

// reap is what the end of a child told us.
type reap struct {
	pid    int
	stat   stat // of the zombie; its start is 0 when it could not be read
	status syscall.WaitStatus
	usage  syscall.Rusage
	at     time.Time
}

func (w *Watcher) prepare() {
	w.lingering = map[*node]lingering{}
	w.proc = newProcfs(w.options.proc)
	var err error
	if w.poller, err = newPoller(); err != nil {
		w.cover.Unwatched = true
	}
}

// startOf is when a process began, in ticks since boot, and when that was at the latest; 0 when it is gone.
func (w *Watcher) startOf(pid int) (start uint64, latest time.Time) {
	proc := newProcfs(w.options.proc)
	s, err := proc.stat(pid)
	if err != nil {
		return 0, time.Time{}
	}
	return s.start, readClocks().atTick(s.start + 1)
}

// wake makes the watching goroutine look at what has changed.
func (w *Watcher) wake() {
	if w.poller != nil {
		w.poller.wake()
	}
}

func (w *Watcher) coverage() Coverage {
	c := w.cover
	c.Beyond = w.tree.beyond
	if end := w.forksEnd; w.forksAt > 0 {
		if end == 0 {
			end, _ = forks(w.proc.root)
		}
		c.Forks = max(0, end-w.forksAt)
	}
	return c
}

func (w *Watcher) reaped(pid int, status syscall.WaitStatus, usage *syscall.Rusage) {
	r := reap{pid: pid, status: status, at: time.Now()}
	if usage != nil {
		r.usage = *usage
	}
	r.stat, _ = newProcfs(w.options.proc).stat(pid)
	w.mu.Lock()
	w.reaps = append(w.reaps, r)
	w.mu.Unlock()
	w.wake()
}

// run watches until Stop.
func (w *Watcher) run() {
	defer w.proc.close()
	if w.poller == nil {
		close(w.watching)
		<-w.stopping
		return
	}
	defer w.poller.close()
	defer w.handles.close()
	count, _ := forks(w.proc.root)
	w.mu.Lock()
	w.forksAt = count
	w.mu.Unlock()
	w.oom.open()
	defer w.oom.close()
	w.subscribe()
	if w.connector != nil {
		defer w.connector.close()
	}
	subscribed := time.Now()
	close(w.watching)
	select {
	case <-w.begun:
	case <-w.stopping:
		select {
		case <-w.begun: // a root that lived for no time at all
		default:
			return
		}
	}
	w.start(subscribed)
	for !w.isStopping() {
		w.round()
	}
	w.finish()
}

func (w *Watcher) isStopping() bool {
	select {
	case <-w.stopping:
		return true
	default:
		return false
	}
}

// subscribe asks for events if they may be had.
func (w *Watcher) subscribe() {
	if w.options.NoEvents || w.options.proc != "" {
		return
	}
	size := eventBuffer
	if w.options.eventBuffer > 0 {
		size = w.options.eventBuffer
	}
	c, err := openConnector(size)
	if err != nil {
		return
	}
	if err := w.poller.control(unix.EPOLL_CTL_ADD, c.fd, unix.EPOLLIN); err != nil {
		c.close()
		return
	}
	w.connector = c
}

// start looks at the tree as it is at first.
func (w *Watcher) start(subscribed time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := readClocks()
	_, w.ownPeak = w.proc.status(os.Getpid())
	root := w.tree.root
	w.look(root, now)
	w.cover.Events = w.connector != nil
	w.cover.Unwatched = w.connector == nil && !w.proc.ours
	w.oom.begin(w.proc, root.PID)
	w.handle(root)
	w.births.begin(w.proc, now.wall)
	if !w.cover.Events || subscribed.After(root.Started) {
		w.scan(now)
		w.cover.Step = time.Since(root.Started)
	}
	w.sampleAt = now.wall.Add(firstSample)
}

// round waits for something to happen and deals with it.
func (w *Watcher) round() {
	deadline := w.deadline()
	ready := w.poller.wait(time.Until(deadline))
	if w.isStopping() {
		return
	}
	w.work(ready)
}

// work deals with what is ready and what is due.
func (w *Watcher) work(ready []unix.EpollEvent) {
	if w.connector != nil {
		w.drain()
	} else {
		for _, r := range ready {
			w.handleReady(int(r.Fd))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := readClocks()
	if w.connector != nil {
		w.checkLingering(now.wall, false)
	} else if !now.wall.Before(w.births.next) {
		w.lookForBirths(now)
	}
	w.takeReaps(now)
	if !now.wall.Before(w.sampleAt) {
		w.sample(now)
	}
}

// deadline is when something is to be done at the latest.
func (w *Watcher) deadline() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.reaps) > 0 {
		return time.Time{}
	}
	at := w.sampleAt
	if w.connector == nil && w.births.next.Before(at) {
		at = w.births.next
	}
	for _, l := range w.lingering {
		if l.next.Before(at) {
			at = l.next
		}
	}
	return at
}

// finish takes what the kernel has already told.
func (w *Watcher) finish() {
	w.mu.Lock()
	w.births.next = time.Time{}
	w.mu.Unlock()
	w.work(w.poller.pending())
	if w.connector != nil {
		w.awaitLate()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := readClocks()
	w.checkLingering(now.wall, true)
	w.sample(now)
	for n := range w.tree.living {
		if _, gone := w.find(n); gone {
			w.tree.end(n, now.wall)
		}
	}
	w.forksEnd, _ = forks(w.proc.root)
}

// awaitLate waits for the events of ends that can be seen already.
func (w *Watcher) awaitLate() {
	for giveUp := time.Now().Add(latestEvents); ; {
		for w.drain() {
		}
		if !w.awaits() || time.Now().After(giveUp) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// awaits tells whether there are processes that have ended and whose events have not come.
func (w *Watcher) awaits() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n := range w.tree.living {
		if n.lingers && n.othersEnd {
			continue
		}
		if s, gone := w.find(n); gone || s.zombie() && s.threads <= 1 {
			return true
		}
	}
	return false
}
