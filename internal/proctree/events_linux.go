package proctree

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// maxDrain is how many events are taken before other things have their turn.
const maxDrain = 4096

// drain takes the events that are there, or as many as may be taken at a time: then there is more.
func (w *Watcher) drain() (more bool) {
	c := readClocks()
	for i := range maxDrain {
		if i%256 == 255 {
			c = readClocks()
		}
		e, err := w.connector.receive()
		if err != nil && err != errDropped { // EAGAIN: that was all
			w.recover()
			return false
		}
		w.mu.Lock()
		if err != nil {
			w.cover.Missed++
			w.dropped = true
		} else {
			w.apply(e, c)
		}
		w.mu.Unlock()
	}
	return true
}

// recover looks for what dropped events would have told. The kernel says once that it drops, and goes on until all that it
// holds has been read.
func (w *Watcher) recover() {
	if w.dropped {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.scan(readClocks())
		w.dropped = false
	}
}

// apply takes in one event. The caller holds w.mu.
func (w *Watcher) apply(e event, c clocks) {
	at := c.atEvent(e.time)
	if e.kind == eventFork {
		w.applyFork(e, at, c)
		return
	}
	n := w.tree.byPID[e.process]
	if n == nil {
		return
	}
	switch e.kind {
	case eventExec:
		w.tree.exec(n, at)
		n.stack = 0 // another now, as is known already
		w.look(n, c)
	case eventComm:
		if e.thread == e.process {
			n.Program = e.comm
		}
	case eventExit:
		w.applyExit(n, e, at)
	}
}

func (w *Watcher) applyFork(e event, at time.Time, c clocks) {
	start := c.tickOf(e.time)
	// It may have been found already, by looking or when it was reaped.
	if n := w.tree.byPID[e.process]; n != nil && !n.forked && n.is(start) {
		n.forked, n.Started = true, at
		if parent := w.tree.byPID[e.parent]; parent != nil && n != w.tree.root {
			n.Parent = parent.ID
			parent.parents = true
		}
		return
	}
	parent := w.tree.byPID[e.parent]
	if parent == nil {
		w.tree.drop(e.process)
		return
	}
	n := w.tree.fork(parent, ID{PID: e.process, Start: start}, at)
	n.forked = true
	w.look(n, c)
	n.fixed = true // the name that others get must stay
}

func (w *Watcher) applyExit(n *node, e event, at time.Time) {
	if e.thread != e.process {
		if n.lingers {
			n.lastEnd, n.lastStatus, n.othersEnd = at, e.status, true
		}
		return
	}
	if !n.alive() {
		return
	}
	n.lastEnd, n.lastStatus = at, e.status
	if s, err := w.proc.stat(n.PID); err == nil && n.is(s.start) {
		n.measure(s)
		if s.threads > 1 {
			n.lingers, n.othersEnd = true, false
			w.lingering[n] = lingering{since: at}
			return
		}
	}
	w.endWith(n, e.status, at)
}

// endWith takes note of an end with its status.
func (w *Watcher) endWith(n *node, status int, at time.Time) {
	n.setStatus(status)
	w.tree.end(n, at)
	if n.Signal == int(unix.SIGKILL) {
		n.OOMKilled = w.oom.killed(n.PID)
	}
}

// The kernel sends the event of an end a little after the end itself can be seen. A thread that waits for a CPU in between
// sends it much later.
const (
	lateEvents   = 20 * time.Millisecond
	latestEvents = 500 * time.Millisecond
)

// checkLingering finds out which processes whose first thread has ended have ended as a whole. No more is heard of them
// when this is the last time. The caller holds w.mu.
func (w *Watcher) checkLingering(now time.Time, last bool) {
	for n, l := range w.lingering {
		if !n.alive() || !n.lingers {
			delete(w.lingering, n)
			continue
		}
		if l.over.IsZero() {
			s, err := w.proc.stat(n.PID)
			if err == nil && n.is(s.start) && s.threads > 1 {
				n.measure(s)
				l.next = now.Add(max(2*time.Millisecond, min(now.Sub(l.since)/2, time.Second)))
			} else {
				l.over, l.next = now, now.Add(lateEvents)
			}
		}
		switch {
		case !l.over.IsZero() && (last || l.settled(n, now)):
			w.endWith(n, n.lastStatus, n.lastEnd)
			delete(w.lingering, n)
			continue
		case !l.over.IsZero() && !l.next.After(now):
			l.next = l.over.Add(latestEvents)
		}
		w.lingering[n] = l
	}
}

// lingering is a process that goes on without its first thread, or may do so.
type lingering struct {
	since time.Time // the first thread ended
	next  time.Time // when to look at it
	over  time.Time // when it was seen that no thread is left; zero when not yet
}

// settled tells whether the last thread's end is known as well as it will be.
func (l lingering) settled(n *node, now time.Time) bool {
	if n.othersEnd {
		return now.Sub(l.over) >= lateEvents
	}
	return now.Sub(l.over) >= latestEvents
}

// takeReaps takes in how children of ours ended. The caller holds w.mu.
func (w *Watcher) takeReaps(c clocks) {
	for _, r := range w.reaps {
		n := w.tree.byPID[r.pid]
		if n == nil || r.stat.start != 0 && !n.is(r.stat.start) {
			if !w.isOrphan(r.stat) {
				continue
			}
			n = w.tree.fork(nil, ID{PID: r.pid, Start: r.stat.start}, c.atTick(r.stat.start))
			n.guessed = false
		}
		at := r.at
		if !n.alive() {
			at = n.Ended
		} else if n.lingers {
			at = n.lastEnd
		}
		if r.stat.start != 0 {
			n.Program = r.stat.comm
			n.measure(r.stat)
			if n.guessed && !n.fixed {
				n.Start, n.guessed = r.stat.start, false
			}
		}
		n.reaped = true
		w.use(n, &r)
		w.endWith(n, int(r.status), at)
	}
	clear(w.reaps)
	w.reaps = w.reaps[:0]
}

// use keeps what a process used as wait tells it: with the use of the children that it waited for.
func (w *Watcher) use(n *node, r *reap) {
	if r.stat.start != 0 {
		n.User = max(0, time.Duration(r.usage.Utime.Nano())-time.Duration(r.stat.childUser)*tick)
		n.System = max(0, time.Duration(r.usage.Stime.Nano())-time.Duration(r.stat.childSystem)*tick)
	}
	// A process starts with its parent's peak, which exec does not take off, and has its children's too. What stands out
	// is its own. The kernel's counters are not exact.
	if n.parents {
		return
	}
	floor := w.ownPeak
	if n != w.tree.root {
		parent := w.tree.byPID[n.Parent.PID]
		if parent == nil || parent.MaxRSS == 0 {
			return
		}
		floor = parent.MaxRSS
	} else if floor == 0 {
		return
	}
	if peak := int64(r.usage.Maxrss) << 10; peak > floor+floor/8 && peak > n.MaxRSS {
		n.MaxRSS = peak
	}
}

// isOrphan tells whether a child of ours is one of the tree's orphans.
func (w *Watcher) isOrphan(s stat) bool {
	root := w.tree.root
	return w.options.Subreaper && s.parent == os.Getpid() && s.pid != root.PID && s.start >= root.Start && s.start != 0
}
