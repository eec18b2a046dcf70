package lineage

import (
	"context"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/peer"
	"forkspan.dev/forkspan/internal/proctree"
	"forkspan.dev/forkspan/internal/store"
)

// Tree is what a run knows of its processes, and who of them sent which spans. It is safe for concurrent use.
type Tree struct {
	watcher *proctree.Watcher
	book    Book
	scrub   func(args []string) []string

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

// NewTree returns the tree of a run whose command Follow names. subreaper tells that its orphans become children of this process;
// scrub takes the secrets out of arguments.
func NewTree(subreaper bool, scrub func(args []string) []string) *Tree {
	return &Tree{
		watcher: proctree.New(proctree.Options{Subreaper: subreaper}), scrub: scrub,
		peers: map[net.Addr]*sender{}, scrubbed: map[string][]string{}, saved: map[proctree.ID]store.Process{},
	}
}

// mostPeers bounds the connections that are remembered.
const mostPeers = 4096

// Peer finds out who sent a request over a connection, whose remote address must be the very value for all of its requests. It is
// to be called before the sender is answered: it waits for that, so it has the connection open. The first request of each
// connection pays for it.
func (t *Tree) Peer(local, remote net.Addr, sum otlp.Summary) Origin {
	if remote == nil {
		return Origin{}
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
	return Origin{Peer: s.id}
}

// findPeer finds the process at the other end of a connection; zero where that is not known. It looks first at those that the
// request itself names, which holds unless they were forked, then at the rest of the run's, then at all others.
func (t *Tree) findPeer(local, remote net.Addr, sum otlp.Summary) proctree.ID {
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

// Supervisor notes that a forkspan has sent a request about its command.
func (t *Tree) Supervisor(from Origin) { t.book.Supervisor(from.Peer) }

// Note keeps who sent a request that has been stored.
func (t *Tree) Note(from Origin, body []byte, sum otlp.Summary) {
	ended := hasFinished(sum)
	for i, first := range firstStarts(body, sum) {
		p := sum.Processes[i]
		if from == (Origin{}) && p.PID == os.Getpid() {
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

// Await waits until nothing of a command that is started then is missed, as far as the system permits that.
func (t *Tree) Await() { t.watcher.Await() }

// Follow names the command's process, from which on it is watched.
func (t *Tree) Follow(pid int) { t.watcher.Follow(pid) }

// Reaped is told of a child of this process that has ended, see [proctree.Watcher.Reaped].
func (t *Tree) Reaped(pid int, status syscall.WaitStatus, usage *syscall.Rusage) {
	t.watcher.Reaped(pid, status, usage)
}

// Facts returns what is known of all processes, as it may be stored. complete tells that no span will come any more.
func (t *Tree) Facts(complete bool) []store.Process {
	processes := t.watcher.Processes()
	forgetInherited(processes)
	list := t.book.Join(processes, complete)
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range list {
		if len(list[i].Args) > 0 {
			list[i].Args = t.withoutSecrets(list[i].Args)
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

func (t *Tree) withoutSecrets(args []string) []string {
	key := strings.Join(args, "\x00")
	out, ok := t.scrubbed[key]
	if !ok {
		if len(t.scrubbed) >= mostScrubbed {
			clear(t.scrubbed)
		}
		out = t.scrub(args)
		t.scrubbed[key] = out
	}
	return out
}

// Keep stores the processes by put from now on, until end.
func (t *Tree) Keep(put func([]store.Process)) {
	ctx, stop := context.WithCancel(context.Background())
	t.stop = stop
	t.keeping.Go(func() { t.keep(ctx, put) })
}

// Stop ends the watching. It is called once, after start has returned if ever.
func (t *Tree) Stop() {
	if t.stop != nil {
		t.stop()
	}
	t.keeping.Wait()
	t.watcher.Stop()
}

// Settle makes what is known now what Settled returns, which it returns itself, too. complete tells that no span will come any
// more.
func (t *Tree) Settle(complete bool) []store.Process {
	list := t.Facts(complete)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settled = list
	return slices.Clone(list)
}

// Settled is what was known at the last Settle.
func (t *Tree) Settled() []store.Process {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.settled)
}

// Coverage is how completely the processes have been seen.
func (t *Tree) Coverage() proctree.Coverage { return t.watcher.Coverage() }

// How often the processes are stored while the command runs: the first time soon, then less often.
const (
	firstKeep = 250 * time.Millisecond
	lastKeep  = 4 * time.Second
	keepShare = 200 // of the time at most this fraction goes into storing
)

// keep stores the processes while the command runs, so that they are known if we are killed.
func (t *Tree) keep(ctx context.Context, put func([]store.Process)) {
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
		if changed := t.changed(t.Facts(false)); len(changed) > 0 {
			put(changed)
		}
		wait = max(min(2*wait, lastKeep), keepShare*time.Since(began))
		timer.Reset(wait)
	}
}

// changed returns those of the processes that are not stored as they are. What grows all the time, as CPU time does, is no
// change.
func (t *Tree) changed(list []store.Process) []store.Process {
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

// hasFinished tells whether any span of a request has ended. The beginnings that a forkspan further down sends are not for
// other backends, which would take them for whole spans.
func hasFinished(sum otlp.Summary) bool {
	return slices.ContainsFunc(sum.Traces, func(t otlp.TraceSummary) bool { return t.End != 0 })
}
