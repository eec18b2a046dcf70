package lineage

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/proctree"
	"forkspan.dev/forkspan/internal/store"
)

// Join returns the processes with what is known of their spans, in the order of their start. complete tells that nothing more
// will arrive: only then is a process called silent.
//
// Whose a span is, is told by the first of these that is known:
//
//  1. the writer of the journal it was in;
//  2. the other end of its connection. A forked child sends under the resource of its parent, pid included, so the connection
//     is believed, not the resource. It is not when it forwards for others: when the resource names another process of the run,
//     and that one is no ancestor or the connection brings the spans of several;
//  3. service.instance.id, where other spans with it are known to come from one process;
//  4. the resource's pid.
func (b *Book) Join(processes []proctree.Process, complete bool) []store.Process {
	b.mu.Lock()
	amounts, supervisors := maps.Clone(b.amounts), maps.Clone(b.supervisors)
	b.mu.Unlock()
	j := newJoiner(processes, amounts)
	j.assign()
	fleeting := Fleeting(j.out)
	for i := range j.out {
		p := &j.out[i]
		slices.SortFunc(p.Senders, compareSenders)
		p.Silent = !fleeting[i] && complete && p.Spans == 0 && p.FirstSpan.IsZero() && !p.Ended.IsZero() && !supervisors[p.ID] && !j.doubtful(i)
	}
	return j.out
}

// joiner is the state of one Join.
type joiner struct {
	out     []store.Process
	amounts map[sent]amount
	byID    map[proctree.ID]int
	byPID   map[int][]int // by start

	pids      map[proctree.ID]map[int]bool // the resources' pids that a peer sent
	instances map[string]int               // process by service.instance.id; -1 where several have it

	anyone  bool          // spans came of which nobody knows whose they are
	sending map[int]int64 // when a process's first request arrived over a connection of its own, Unix nanoseconds
	guessed map[int]bool  // spans were given to the process for what their resource says: by the first of its copies, see copyOf
}

const several = -1

func newJoiner(processes []proctree.Process, amounts map[sent]amount) *joiner {
	j := &joiner{
		amounts: amounts, byID: make(map[proctree.ID]int, len(processes)), byPID: make(map[int][]int, len(processes)),
		pids: map[proctree.ID]map[int]bool{}, instances: map[string]int{}, sending: map[int]int64{}, guessed: map[int]bool{},
	}
	j.out = make([]store.Process, len(processes))
	for i := range processes {
		j.out[i].Process = processes[i]
	}
	slices.SortFunc(j.out, store.ByStart)
	for i := range j.out {
		id := j.out[i].ID
		j.byID[id] = i
		j.byPID[id.PID] = append(j.byPID[id.PID], i)
	}
	for key := range amounts {
		if key.origin.Peer.PID == 0 || key.sender.PID == 0 {
			continue
		}
		if j.pids[key.origin.Peer] == nil {
			j.pids[key.origin.Peer] = map[int]bool{}
		}
		j.pids[key.origin.Peer][key.sender.PID] = true
	}
	return j
}

// assign gives each process its spans.
func (j *joiner) assign() {
	var rest []sent
	for key, a := range j.amounts {
		at, guessed, ok := j.byOrigin(&key, a)
		if !ok {
			rest = append(rest, key)
			continue
		}
		j.give(at, key, a)
		since, sends := j.sending[at]
		switch {
		case guessed:
			j.guessed[j.original(at)] = true
		case key.origin.Journal.PID == 0 && (!sends || a.since < since):
			j.sending[at] = a.since
		}
		if id := key.sender.InstanceID; id != "" {
			if before, ok := j.instances[id]; ok && before != at {
				at = several
			}
			j.instances[id] = at
		}
	}
	for _, key := range rest {
		a := j.amounts[key]
		at, ok := j.instances[key.sender.InstanceID]
		if !ok || at == several || key.sender.InstanceID == "" {
			at, ok = j.named(key.sender.PID, a)
		}
		if ok {
			j.give(at, key, a)
			j.guessed[j.original(at)] = true
		} else if _, known := j.find(key.origin.Peer, a); known || key.origin.Peer.PID == 0 {
			j.anyone = true // else they came from outside the tree
		}
	}
}

func (j *joiner) give(at int, key sent, a amount) {
	p := &j.out[at]
	p.Spans += a.spans
	if first := time.Unix(0, a.first); p.FirstSpan.IsZero() || first.Before(p.FirstSpan) {
		p.FirstSpan = first
	}
	if !slices.Contains(p.Senders, key.sender) {
		p.Senders = append(p.Senders, key.sender)
	}
}

// byOrigin finds the process by the journal or the connection; guessed is one that only the resource tells.
func (j *joiner) byOrigin(key *sent, a amount) (at int, guessed, ok bool) {
	o := key.origin
	if o.Journal.PID != 0 {
		at, ok = j.find(o.Journal, a)
		return at, false, ok
	}
	peer, ok := j.find(o.Peer, a)
	if !ok || key.sender.PID == o.Peer.PID {
		return peer, false, ok
	}
	forwards := len(j.pids[o.Peer]) > 1
	named, ok := j.named(key.sender.PID, a)
	switch {
	case ok && (forwards || !j.descends(peer, named)):
		return named, true, true
	case forwards:
		return 0, false, false // one of those it forwards for, but which
	}
	return peer, false, true
}

// find finds a process by its id; by its pid alone where the start is not known.
func (j *joiner) find(id proctree.ID, a amount) (int, bool) {
	if at, ok := j.byID[id]; ok {
		return at, true
	}
	if id.Start != 0 {
		return 0, false
	}
	return j.named(id.PID, a)
}

// named finds the process that had a pid when the spans arrived: the latest that had started by then.
func (j *joiner) named(pid int, a amount) (int, bool) {
	list := j.byPID[pid]
	if pid == 0 || len(list) == 0 {
		return 0, false
	}
	for _, at := range slices.Backward(list) {
		if j.out[at].Started.UnixNano() <= a.since {
			return at, true
		}
	}
	return list[0], true
}

// descends tells whether a process was started below another, or may have been.
func (j *joiner) descends(at, ancestor int) bool {
	for range len(j.out) {
		switch at {
		case ancestor:
			return true
		case 0: // the root
			return false
		}
		parent := j.out[at].Parent
		if parent.PID == 0 {
			return true // nobody saw who started it
		}
		next, ok := j.byID[parent]
		if !ok {
			return false
		}
		at = next
	}
	return false
}

// doubtful tells whether a process without spans may have sent some all the same: spans came that could be anybody's; or those of
// one of its copies could be its own, as their connection was open when it was copied, or as nothing but their resource tells
// whose they are.
func (j *joiner) doubtful(at int) bool {
	if j.anyone || j.guessed[j.original(at)] {
		return true
	}
	for range len(j.out) {
		from, ok := j.copyOf(at)
		if !ok {
			return false
		}
		started := j.out[at].Started
		if since, ok := j.sending[from]; ok && (started.IsZero() || since <= started.UnixNano()) {
			return true
		}
		at = from
	}
	return false
}

// copyOf returns the process that another is a forked copy of.
func (j *joiner) copyOf(at int) (int, bool) {
	parent, ok := j.byID[j.out[at].Parent]
	return parent, ok && parent != at && isCopy(&j.out[at], &j.out[parent])
}

// original follows copies back to what was executed.
func (j *joiner) original(at int) int {
	for range len(j.out) {
		from, ok := j.copyOf(at)
		if !ok {
			break
		}
		at = from
	}
	return at
}

func compareSenders(a, b otlp.ProcessSummary) int {
	return cmp.Or(
		cmp.Compare(a.PID, b.PID), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.InstanceID, b.InstanceID), cmp.Compare(a.RunID, b.RunID),
	)
}
