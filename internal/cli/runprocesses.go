package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/lineage"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/peer"
	"forkspan.dev/forkspan/internal/proctree"
	"forkspan.dev/forkspan/internal/receive"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/internal/supervise"
	"forkspan.dev/forkspan/internal/timeline"
)

// processTree is what a run knows of its processes, and who of them sent which spans. It is safe for concurrent use.
type processTree struct {
	watcher *proctree.Watcher
	book    lineage.Book

	mu       sync.Mutex
	peers    map[net.Addr]*sender          // by a connection's remote address, the very value
	scrubbed map[string][]string           // by arguments
	saved    map[proctree.ID]store.Process // as last stored
	settled  []store.Process               // as of the last settle

	stop    context.CancelFunc // ends what start began; nil before
	keeping sync.WaitGroup
}

// sender is who is at the other end of a connection.
type sender struct {
	once sync.Once
	id   proctree.ID
}

func newProcessTree(subreaper bool) *processTree {
	return &processTree{
		watcher: proctree.New(proctree.Options{Subreaper: subreaper}),
		peers:   map[net.Addr]*sender{}, scrubbed: map[string][]string{}, saved: map[proctree.ID]store.Process{},
	}
}

// mostPeers bounds the connections that are remembered.
const mostPeers = 4096

// origin finds out where a request came from. It is called before the sender is answered: it waits for that, so it has the
// connection open. The first request of each connection pays for it.
func (t *processTree) origin(ctx context.Context, from origin, sum otlp.Summary) lineage.Origin {
	if from.process.PID != 0 {
		return lineage.Origin{Journal: from.process}
	}
	local, remote := receive.Conn(ctx)
	if remote == nil {
		return lineage.Origin{}
	}
	t.mu.Lock()
	s := t.peers[remote]
	if s == nil {
		if len(t.peers) >= mostPeers {
			clear(t.peers)
		}
		s = &sender{}
		t.peers[remote] = s
	}
	t.mu.Unlock()
	s.once.Do(func() { s.id = t.findPeer(local, remote, sum) })
	return lineage.Origin{Peer: s.id}
}

// findPeer finds the process at the other end of a connection; zero where that is not known. It looks first at those that the
// request itself names, which holds unless they were forked, then at the rest of the run's, then at all others.
func (t *processTree) findPeer(local, remote net.Addr, sum otlp.Summary) proctree.ID {
	var named []int
	for _, p := range sum.Processes {
		if _, ok := t.watcher.Lookup(p.PID); ok {
			named = append(named, p.PID)
		}
	}
	pid, ok := 0, false
	if len(named) > 0 {
		pid, ok = peer.PIDAmong(local, remote, named)
	}
	if !ok {
		var living []int
		for _, p := range t.watcher.Processes() {
			if p.Ended.IsZero() && !slices.Contains(named, p.PID) {
				living = append(living, p.PID)
			}
		}
		slices.Reverse(living) // who was started last has more to say
		pid, ok = peer.PIDAmong(local, remote, living)
	}
	if !ok {
		if pid, ok = peer.PID(local, remote); !ok {
			return proctree.ID{}
		}
	}
	if id, ok := t.watcher.Lookup(pid); ok {
		return id
	}
	return proctree.ID{PID: pid}
}

// note keeps who sent a request that has been stored.
func (t *processTree) note(from lineage.Origin, body []byte, sum otlp.Summary) {
	if commandspan.Made(body, sum) {
		t.book.Supervisor(from.Peer)
		return
	}
	ended := hasFinished(sum)
	for i, first := range firstStarts(body, sum) {
		p := sum.Processes[i]
		if from == (lineage.Origin{}) && p.PID == os.Getpid() {
			continue // a proxy's
		}
		t.book.Add(p, first, ended, from)
	}
}

// firstStarts returns the start of the earliest span of each of a request's processes, Unix nanoseconds.
func firstStarts(body []byte, sum otlp.Summary) []int64 {
	first := make([]int64, len(sum.Processes))
	if len(first) == 1 {
		first[0] = slices.MinFunc(sum.Traces, func(a, b otlp.TraceSummary) int {
			return time.Unix(0, a.Start).Compare(time.Unix(0, b.Start))
		}).Start
		return first
	}
	spans, err := otlp.Decode(body)
	if err != nil {
		return first[:0]
	}
	for i := range spans {
		s := &spans[i]
		at := slices.IndexFunc(sum.Processes, func(p otlp.ProcessSummary) bool { return sameSender(p, s.Process) })
		if at >= 0 && (first[at] == 0 || s.Start < first[at]) {
			first[at] = s.Start
		}
	}
	return first
}

// sameSender tells whether a summary is that of a resource.
func sameSender(p otlp.ProcessSummary, r *otlp.Process) bool {
	return r != nil && p.PID == r.PID && p.InstanceID == r.InstanceID && p.Name == r.Name && p.Kind == r.Kind &&
		p.Service == r.Service && p.RunID == r.RunID
}

// follow names the command's process, from which on it is watched.
func (t *processTree) follow(pid int) { t.watcher.Follow(pid) }

// facts returns what is known of all processes, as it may be stored. complete tells that no span will come any more.
func (t *processTree) facts(complete bool) []store.Process {
	processes := t.watcher.Processes()
	forgetInherited(processes)
	list := t.book.Join(processes, complete)
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range list {
		if len(list[i].Args) > 0 {
			list[i].Args = t.scrub(list[i].Args)
		}
		list[i].Program = strings.ToValidUTF8(list[i].Program, "\uFFFD")
	}
	return list
}

// forgetInherited takes the program off processes that executed one of which nothing could be read before they ended: what is
// there is their parent's.
func forgetInherited(processes []proctree.Process) {
	programs := make(map[proctree.ID]string, len(processes))
	for i := range processes {
		p := &processes[i]
		programs[p.ID] = p.Program
		if parent, ok := programs[p.Parent]; ok && len(p.Args) == 0 && !p.Execed.IsZero() && p.Program == parent {
			p.Program = ""
		}
	}
}

// mostScrubbed bounds the command lines that are remembered. A build starts one program thousands of times.
const mostScrubbed = 4096

func (t *processTree) scrub(args []string) []string {
	key := strings.Join(args, "\x00")
	out, ok := t.scrubbed[key]
	if !ok {
		if len(t.scrubbed) >= mostScrubbed {
			clear(t.scrubbed)
		}
		out = commandspan.Scrub(args)
		t.scrubbed[key] = out
	}
	return out
}

// start stores the processes by put from now on, until end.
func (t *processTree) start(put func([]store.Process)) {
	ctx, stop := context.WithCancel(context.Background())
	t.stop = stop
	t.keeping.Go(func() { t.keep(ctx, put) })
}

// end ends the watching. It is called once, after start has returned if ever.
func (t *processTree) end() {
	if t.stop != nil {
		t.stop()
	}
	t.keeping.Wait()
	t.watcher.Stop()
}

// settle makes what is known now what the account tells of, and returns the processes that are not stored as they are. complete
// tells that no span will come any more.
func (t *processTree) settle(complete bool) []store.Process {
	list := t.facts(complete)
	t.mu.Lock()
	t.settled = slices.Clone(list)
	t.mu.Unlock()
	return t.changed(list)
}

// account adds what there is to say of the processes.
func (t *processTree) account(a *store.Account) {
	coverage := t.watcher.Coverage()
	a.Coverage = &coverage
	t.mu.Lock()
	defer t.mu.Unlock()
	if coverage.Unwatched || len(t.settled) == 0 {
		return
	}
	processes, silent := countTree(t.settled)
	a.Processes, a.Silent = int64(processes), int64(silent)
}

// How often the processes are stored while the command runs: the first time soon, then less often.
const (
	firstKeep = 250 * time.Millisecond
	lastKeep  = 4 * time.Second
	keepShare = 200 // of the time at most this fraction goes into storing
)

// keep stores the processes while the command runs, so that they are known if we are killed.
func (t *processTree) keep(ctx context.Context, put func([]store.Process)) {
	wait := firstKeep
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		began := time.Now()
		if changed := t.changed(t.facts(false)); len(changed) > 0 {
			put(changed)
		}
		wait = max(min(2*wait, lastKeep), keepShare*time.Since(began))
		timer.Reset(wait)
	}
}

// changed returns those of the processes that are not stored as they are. What grows all the time, as CPU time does, is no
// change.
func (t *processTree) changed(list []store.Process) []store.Process {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.DeleteFunc(list, func(p store.Process) bool {
		was, ok := t.saved[p.ID]
		t.saved[p.ID] = p
		return ok && was.Ended.Equal(p.Ended) && was.Exited == p.Exited && was.Execed.Equal(p.Execed) &&
			was.Program == p.Program && slices.Equal(was.Args, p.Args) && was.FirstSpan.Equal(p.FirstSpan) &&
			len(was.Senders) == len(p.Senders)
	})
}

// putProcesses stores what is known of processes. A store that fails says so where spans are put.
func (r *localRun) putProcesses(list []store.Process) {
	if st := r.writable(); st != nil && len(list) > 0 {
		_ = st.PutProcesses(context.Background(), r.runID, list)
	}
}

// saveTree writes the run's row with all that is known of its processes.
func (r *localRun) saveTree() {
	r.tree.mu.Lock()
	list := slices.Clone(r.tree.settled)
	r.tree.mu.Unlock()
	if st := r.writable(); st != nil {
		_ = st.PutTree(context.Background(), r.record, list)
	}
}

// sawAll tells whether all that processes sent has been taken, so that one of which there is nothing sent nothing.
func (r *localRun) sawAll() bool {
	if r.server == nil {
		return false
	}
	stats := r.server.Stats()
	return stats.Rejected == 0 && stats.Refused == 0 && len(r.counts.account().Dropped) == 0
}

// treeLines says what the account has to say of the processes beyond their number.
func (r *localRun) treeLines() []string {
	var lines []string
	r.tree.mu.Lock()
	defer r.tree.mu.Unlock()
	if r.record.Account.Senders > 0 {
		times := "x"
		if r.textOptions(r.Stderr).Unicode {
			times = "×"
		}
		if line := silentLine(r.tree.settled, times); line != "" {
			lines = append(lines, line)
		}
	}
	if line := coverageLine(r.record.Account); line != "" {
		lines = append(lines, line)
	}
	return lines
}

// describe returns how a process is called that outlives the command, and what else is known of it.
func (t *processTree) describe(d supervise.Descendant) (name, facts string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range slices.Backward(t.settled) {
		p := &t.settled[i]
		if p.PID != d.PID || !p.Ended.IsZero() {
			continue
		}
		if p.Spans > 0 {
			facts = ", " + counted(int(p.Spans), "span", "spans")
		}
		return commandOf(p, longestCommand), facts
	}
	return d.Name, ""
}

// coverageLine says which processes may be missing; empty when that is none, or not many.
func coverageLine(a store.Account) string {
	c := a.Coverage
	if c == nil || c.Unwatched {
		return ""
	}
	// Threads are among the forks, and other programs' processes.
	const least = 100
	unseen := c.Forks - a.Processes
	switch {
	case c.Beyond > 0:
		return timeline.FormatCount(c.Beyond) + " more processes are not kept: they were too many"
	case c.Missed > 0:
		return "processes may be missing: the kernel could not tell of all of them"
	case !c.Events && c.Step > 0 && unseen >= max(least, a.Processes/8):
		return fmt.Sprintf("processes that lived for less than %s may be missing: %s seen, %s started on this machine meanwhile, threads included",
			elapsed(c.Step), timeline.FormatCount(a.Processes), timeline.FormatCount(c.Forks))
	}
	return ""
}
