package proctree

import (
	"cmp"
	"slices"
	"time"
)

// node is a process of the tree and what is needed to go on watching it.
type node struct {
	Process
	guessed      bool      // Start is reckoned, not read
	fixed        bool      // Start must stay as it is: others refer to it
	listed       bool      // it is among those remembered
	parents      bool      // it has had children in the tree
	gone         bool      // it was not there when it was looked at last
	readable     bool      // we may read what only the process's user may
	reaped       bool      // its pid is free
	forked       bool      // the event of its start has been seen
	held         bool      // its end will be told at once
	stack        uint64    // where its stack begins, which tells one exec from the next; 0 when not known
	closelyUntil time.Time // see watchClosely
	looks        int       // how often its arguments were looked for in vain

	// Its first thread has ended, others may live: the process ends with the last of them.
	lingers    bool
	othersEnd  bool // the end of another thread has been told since
	lastEnd    time.Time
	lastStatus int
}

func (n *node) alive() bool { return n.Ended.IsZero() }

// is tells whether a process that started at a tick is this one.
func (n *node) is(start uint64) bool {
	if n.guessed {
		return start+2 >= n.Start && start <= n.Start+2 || n.Start == 0
	}
	return start == n.Start
}

// tree is the processes seen. It knows nothing of where the facts come from.
type tree struct {
	root     *node
	all      []*node       // remembered, in the order they were seen
	byPID    map[int]*node // the last of the tree to have the pid, until another process has it
	living   map[*node]bool
	limit    int
	beyond   int64
	argBytes int // in the arguments of all that are remembered
	changed  time.Time
}

// maxArgBytes bounds the arguments of all processes together. Those that come later have none.
const maxArgBytes = 32 << 20

func (t *tree) init(limit int) {
	t.byPID, t.living, t.limit = map[int]*node{}, map[*node]bool{}, limit
}

// setRoot begins the tree. The root has run its program before we are told of it.
func (t *tree) setRoot(id ID, started time.Time) {
	t.root = t.add(Process{ID: id, Started: started, Execed: started})
	t.root.guessed = id.Start == 0
}

// add takes a new process in, which has the place of another with its pid.
func (t *tree) add(p Process) *node {
	t.drop(p.PID)
	n := &node{Process: p}
	t.byPID[p.PID] = n
	t.living[n] = true
	t.changed = time.Now()
	if len(t.all) < t.limit {
		n.listed = true
		t.all = append(t.all, n)
	} else {
		t.beyond++
	}
	return n
}

// drop takes note that the pid is no longer that of the process known by it.
func (t *tree) drop(pid int) {
	n := t.byPID[pid]
	if n == nil {
		return
	}
	delete(t.byPID, pid)
	if n.alive() {
		t.end(n, time.Now())
	}
}

// coarse is how exactly starts are known where they are only looked up.
const coarse = 10 * time.Millisecond

// fork takes in a child of parent. A copy of a process has its parent's program and arguments.
func (t *tree) fork(parent *node, id ID, started time.Time) *node {
	p := Process{ID: id, Started: started}
	if parent != nil {
		parent.parents = true
		p.Parent, p.Program, p.Args = parent.ID, parent.Program, parent.Args
		if early := parent.Started.Sub(started); early > 0 && early <= 2*coarse {
			p.Started = parent.Started
		}
	}
	n := t.add(p)
	n.guessed = true
	if parent != nil {
		n.stack, n.readable = parent.stack, parent.readable
	}
	return n
}

// exec takes note that a process runs another program. A thread other than the first may do that: the first one's end,
// which came before, was not the process's then.
func (t *tree) exec(n *node, at time.Time) {
	if !n.alive() && !n.reaped {
		n.Ended, n.Exited, n.Code, n.Signal = time.Time{}, false, 0, 0
		t.living[n] = true
	}
	n.lingers, n.looks = false, 0
	if at.Before(n.Started) {
		at = n.Started // both are known only so exactly where they are found by looking
	}
	n.Execed, n.Args = at, nil
	t.changed = time.Now()
}

// end takes note of the end of a process whose status is not known, or not yet.
func (t *tree) end(n *node, at time.Time) {
	n.Ended, n.lingers = at, false
	if n.Ended.Before(n.Started) {
		n.Ended = n.Started
	}
	delete(t.living, n)
	t.changed = time.Now()
	if !n.listed {
		delete(t.byPID, n.PID)
	}
}

// setArgs keeps the arguments of a process.
func (t *tree) setArgs(n *node, args []string) {
	size := 0
	for _, arg := range args {
		size += len(arg)
	}
	if parent := t.byPID[n.Parent.PID]; parent != nil && slices.Equal(parent.Args, args) {
		n.Args = parent.Args
		return
	}
	if n.listed && t.argBytes+size <= maxArgBytes {
		t.argBytes += size
		n.Args = args
	}
}

// setStatus keeps how a process ended, as wait gives it on Unix: the signal in the low 7 bits, else the code in the next 8.
func (n *node) setStatus(status int) {
	n.Exited = true
	if signal := status & 0x7f; signal != 0 {
		n.Code, n.Signal = -1, signal
	} else {
		n.Code, n.Signal = status>>8&0xff, 0
	}
}

func (t *tree) snapshot() []Process {
	list := make([]Process, 0, len(t.all))
	for _, n := range t.all {
		list = append(list, n.Process)
	}
	if len(list) > 1 {
		slices.SortStableFunc(list[1:], func(a, b Process) int { return cmp.Compare(a.Start, b.Start) })
	}
	return list
}
