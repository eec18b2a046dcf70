package proctree

import (
	"maps"
	"os"
	"slices"
	"time"
)

// births looks for new processes where the kernel does not tell of them.
//
// Pids are given in ascending order, so those given since the last look are the ones between the last pid then and now,
// which one read of a small file tells. Where that turns out to be wrong all processes are looked through.
type births struct {
	next     time.Time // when to look again
	interval time.Duration
	last     int       // the pid that was given last when we looked last
	max      int       // one more than the largest pid
	inOrder  bool      // last can be relied on
	looked   time.Time // when we looked last
	allAt    time.Time // when to look through all the next time
}

const (
	birthsOften   = 2 * time.Millisecond   // while the tree changes
	birthsSeldom  = 50 * time.Millisecond  // when it does not
	birthsAll     = 300 * time.Millisecond // when it does not and all processes must be looked through
	birthsMost    = time.Second
	birthsShare   = 6   // while the tree changes looking takes one part in so many of a core
	birthsAtRest  = 150 // and when it does not
	birthsRange   = 1024
	lookAllOften  = 5 * time.Second
	lookAllSeldom = 500 // looking through all, to be sure, takes one part in so many of a core
)

func (b *births) begin(p *procfs, now time.Time) {
	b.last, b.inOrder = p.lastPID()
	b.max = p.maxPID()
	b.inOrder = b.inOrder && b.max > 0
	b.looked, b.next, b.allAt, b.interval = now, now.Add(birthsOften), now.Add(lookAllOften), birthsOften
}

// lookForBirths finds new processes of the tree. The caller holds w.mu.
func (w *Watcher) lookForBirths(c clocks) {
	b := &w.births
	begun := startCost()
	before := b.looked
	b.looked = time.Now()
	last, ok := w.proc.lastPID()
	switch {
	case !b.inOrder || !ok:
		w.scan(c)
	case last != b.last:
		if pids := b.since(last); pids == nil {
			w.scan(c)
		} else {
			w.probe(pids, before, c)
		}
	default: // it may be another's by now: whoever restores processes sets their pids
		if n := w.tree.byPID[last]; n != nil && !n.alive() {
			w.probe([]int{last}, before, c)
		}
	}
	b.last = last
	w.checkUnheld(c)
	w.cover.Step = max(w.cover.Step, time.Since(before).Round(100*time.Microsecond))
	b.plan(begun.cost(), time.Since(w.tree.changed) < time.Second)
	if b.inOrder && b.looked.After(b.allAt) {
		all := startCost()
		for _, n := range w.scan(c) {
			if n.Started.Before(before.Add(-5*tick)) && n.Parent.PID != 0 {
				b.inOrder = false // it should have been found before
			}
		}
		b.allAt = b.looked.Add(max(lookAllOften, all.cost()*lookAllSeldom))
	}
}

// since lists the pids given since the last look; nil when they are too many.
func (b *births) since(last int) []int {
	pids := make([]int, 0, 64)
	for pid := b.last; pid != last; {
		if pid++; pid >= b.max {
			pid = 1
		}
		if pids = append(pids, pid); len(pids) > birthsRange {
			return nil
		}
	}
	return pids
}

// plan decides when to look again after a look of some cost.
func (b *births) plan(cost time.Duration, active bool) {
	slowest := birthsSeldom
	if !b.inOrder {
		slowest = birthsAll
	}
	if active {
		b.interval = max(birthsOften, cost*birthsShare)
	} else {
		b.interval = max(min(b.interval*5/4, slowest), cost*birthsAtRest)
	}
	b.interval = min(b.interval, birthsMost)
	b.next = time.Now().Add(b.interval)
}

// probe looks at pids that were given after a time. The caller holds w.mu.
func (w *Watcher) probe(pids []int, after time.Time, c clocks) {
	found := map[int]stat{}
	for _, pid := range pids {
		if s, err := w.proc.stat(pid); err == nil {
			found[pid] = s
		} else {
			w.forget(pid, c)
		}
	}
	for _, n := range w.classify(found, c) {
		if n.Started.Before(after) {
			n.Started = after // starts in /proc are rounded down
		}
	}
}

// forget takes note that nobody has a pid.
func (w *Watcher) forget(pid int, c clocks) {
	if n := w.tree.byPID[pid]; n != nil && n.alive() && !n.held && !w.cover.Events {
		if _, gone := w.find(n); gone {
			w.tree.end(n, c.wall)
		}
	}
}

// scan looks through all processes for those of the tree, and returns the new ones. The caller holds w.mu.
func (w *Watcher) scan(c clocks) []*node {
	if !w.proc.ours {
		return nil
	}
	found, there := map[int]stat{}, map[int]bool{}
	for _, pid := range w.proc.pids() {
		there[pid] = true
		if n := w.tree.byPID[pid]; n != nil && n.alive() && n.held {
			continue
		}
		if s, err := w.proc.stat(pid); err == nil {
			found[pid] = s
		}
	}
	fresh := w.classify(found, c)
	for n := range w.tree.living {
		if there[n.PID] || n.held || !n.Started.Before(c.wall) {
			continue
		}
		if _, gone := w.find(n); gone {
			w.tree.end(n, c.wall)
		}
	}
	return fresh
}

// classify takes in those processes that are of the tree and not known, and returns them.
func (w *Watcher) classify(found map[int]stat, c clocks) []*node {
	var fresh []*node
	member := map[int]*node{}
	var resolve func(pid int) *node
	resolve = func(pid int) *node {
		if n, done := member[pid]; done {
			return n
		}
		member[pid] = nil // against a circle, which processes that end meanwhile can make
		s, ok := found[pid]
		n := w.tree.byPID[pid]
		if !ok {
			if n != nil && !n.alive() && n.Ended.Before(c.wall.Add(-5*tick)) {
				n = nil
			}
			member[pid] = n
			return n
		}
		if n != nil && n.is(s.start) {
			member[pid] = n
			return n
		}
		parent := resolve(s.parent)
		switch {
		case parent != nil && parent.Start <= s.start, w.isOrphan(s), madeBy(resolve(s.session), s), madeBy(resolve(s.group), s):
			if process, _ := w.proc.status(pid); process != pid {
				break // a thread, or it is gone
			}
			if parent != nil && parent.Start > s.start {
				parent = nil
			}
			n = w.adopt(s, parent, c)
			fresh = append(fresh, n)
			member[pid] = n
			return n
		}
		w.tree.drop(pid) // another has the pid now
		return nil
	}
	for _, pid := range slices.Sorted(maps.Keys(found)) {
		resolve(pid)
	}
	return fresh
}

// madeBy tells whether a process is in a session or process group that a process of the tree leads, nil for one that is
// not: so is one whose parent has ended and that another than we have adopted.
func madeBy(leader *node, s stat) bool {
	return leader != nil && leader.Start <= s.start && s.pid != os.Getpid()
}

// adopt takes in a process that was found.
func (w *Watcher) adopt(s stat, parent *node, c clocks) *node {
	started := c.atTick(s.start)
	n := w.tree.fork(parent, ID{PID: s.pid, Start: s.start}, started)
	n.guessed = false
	young := c.wall.Sub(started) < time.Second
	if parent == nil || !young {
		n.stack, n.Args = 0, nil // whether it has run another program since is not known
	}
	w.handle(n)
	if n.Args != nil && n.stack <= 1 {
		n.Args = nil
	}
	w.take(n, s, c)
	if young {
		w.watchClosely(n, c)
	}
	return n
}

// watchClosely looks at a process often for a while: it may run another program.
func (w *Watcher) watchClosely(n *node, c clocks) {
	if !slices.Contains(w.young, n) {
		w.young = append(w.young, n)
	}
	n.closelyUntil = c.wall.Add(30 * tick)
}

// waits tells whether a young process seems to wait for a CPU still: it has used none.
func (n *node) waits(now time.Time) bool {
	const most = 3 * time.Second
	return n.User+n.System == 0 && now.Sub(n.Started) < most
}

// checkUnheld looks at living processes that cannot tell of their end, and at the young, which mostly run another program
// soon. The caller holds w.mu.
func (w *Watcher) checkUnheld(c clocks) {
	keep := w.young[:0]
	for _, n := range w.young {
		if n.alive() && (c.wall.Before(n.closelyUntil) || n.waits(c.wall)) && w.look(n, c) {
			keep = append(keep, n)
		}
	}
	clear(w.young[len(keep):])
	w.young = keep
	if len(w.handles.nodes) >= len(w.tree.living) {
		return
	}
	for n := range w.tree.living {
		if n.held {
			continue
		}
		s, gone := w.find(n)
		switch {
		case gone:
			w.tree.end(n, c.wall)
		case s.zombie() && (s.status != 0 || n.readable):
			n.measure(s)
			w.endWith(n, s.status, c.wall)
		case s.zombie():
			n.measure(s)
			w.tree.end(n, c.wall)
		}
	}
}
