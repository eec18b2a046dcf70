package lineage

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/proctree"
)

// epoch is a second after which everything in these tests happens.
var epoch = time.Unix(1_700_000_000, 0)

// process is number n of a tree: its pid is n, its start n, unless another is given.
func process(n, parent int, args ...string) proctree.Process {
	return proctree.Process{
		ID: id(n), Parent: id(parent), Program: args[0], Args: args, Exited: true,
		Started: epoch.Add(time.Duration(n) * time.Second), Ended: epoch.Add(time.Hour),
	}
}

func id(n int) proctree.ID {
	if n == 0 {
		return proctree.ID{}
	}
	return proctree.ID{PID: n, Start: uint64(n)}
}

func peerOf(n int) Origin { return Origin{Peer: id(n)} }

func writerOf(n int) Origin { return Origin{Journal: id(n)} }

// request is one of a test's, with one span.
type request struct {
	pid      int // of the resource
	instance string
	origin   Origin
}

// TestWhose wants each span with the process that made it, and silence only where it is beyond doubt.
func TestWhose(t *testing.T) {
	tree := []proctree.Process{
		process(1, 0, "server"),
		process(2, 1, "server"), // forked, both
		process(3, 1, "server"),
		process(4, 1, "worker"), // executed, all three
		process(5, 1, "collector"),
		process(6, 4, "helper"),
	}
	for _, test := range []struct {
		name     string
		requests []request
		spans    map[int]int64 // by pid
		silent   []int
	}{
		{name: "nobody sent anything", silent: []int{1, 2, 3, 4, 5, 6}},
		{
			name:     "each its own",
			requests: []request{{1, "a", peerOf(1)}, {4, "b", peerOf(4)}, {4, "b", peerOf(4)}},
			spans:    map[int]int64{1: 1, 4: 1 + 1},
			silent:   []int{2, 3, 5, 6},
		},
		{
			name:     "forked children under the resource of their parent",
			requests: []request{{1, "a", peerOf(1)}, {1, "a", peerOf(2)}, {1, "a", peerOf(3)}},
			spans:    map[int]int64{1: 1, 2: 1, 3: 1},
			silent:   []int{4, 5, 6},
		},
		{
			name:     "a forked child alone",
			requests: []request{{1, "a", peerOf(2)}},
			spans:    map[int]int64{2: 1},
			silent:   []int{1, 3, 4, 5, 6},
		},
		{
			name:     "a resource that says nothing",
			requests: []request{{0, "", peerOf(4)}},
			spans:    map[int]int64{4: 1},
			silent:   []int{1, 2, 3, 5, 6},
		},
		{
			name:     "pids of another namespace",
			requests: []request{{77, "", peerOf(4)}},
			spans:    map[int]int64{4: 1},
			silent:   []int{1, 2, 3, 5, 6},
		},
		{
			name:     "a journal, whatever its spans say",
			requests: []request{{1, "a", writerOf(4)}, {0, "", Origin{Journal: proctree.ID{PID: 6}}}},
			spans:    map[int]int64{4: 1, 6: 1},
			silent:   []int{1, 2, 3, 5},
		},
		{
			name:     "forwarded by a collector for several",
			requests: []request{{1, "a", peerOf(5)}, {4, "b", peerOf(5)}, {5, "c", peerOf(5)}},
			spans:    map[int]int64{1: 1, 4: 1, 5: 1},
			silent:   []int{6}, // 2 and 3 share what 1 had open
		},
		{
			name:     "forwarded by a collector for one that is not above it",
			requests: []request{{4, "b", peerOf(5)}},
			spans:    map[int]int64{4: 1},
			silent:   []int{1, 2, 3, 5, 6},
		},
		{
			name:     "forwarded, and nobody knows for whom",
			requests: []request{{1, "", peerOf(5)}, {4, "", peerOf(5)}, {0, "", peerOf(5)}},
			spans:    map[int]int64{1: 1, 4: 1},
		},
		{
			name:     "forwarded for a process outside",
			requests: []request{{5, "", peerOf(5)}, {99, "", peerOf(5)}},
			spans:    map[int]int64{5: 1},
		},
		{
			name:     "the connection is not known, the instance is",
			requests: []request{{1, "a", writerOf(2)}, {1, "a", Origin{}}},
			spans:    map[int]int64{2: 2},
			silent:   []int{4, 5, 6}, // 1 and 3 may have that instance too
		},
		{
			name:     "an instance of several",
			requests: []request{{1, "a", writerOf(2)}, {1, "a", writerOf(3)}, {4, "a", Origin{}}},
			spans:    map[int]int64{2: 1, 3: 1, 4: 1},
			silent:   []int{1, 5, 6},
		},
		{
			name:     "only the pid",
			requests: []request{{4, "", Origin{}}},
			spans:    map[int]int64{4: 1},
			silent:   []int{1, 2, 3, 5, 6},
		},
		{
			name:     "nothing at all",
			requests: []request{{0, "", Origin{}}, {4, "", peerOf(4)}},
			spans:    map[int]int64{4: 1},
		},
		{
			name:     "a sender outside the tree",
			requests: []request{{50, "", peerOf(50)}},
			silent:   []int{1, 2, 3, 4, 5, 6},
		},
		{
			name:     "a collector outside the tree",
			requests: []request{{4, "", peerOf(50)}},
			spans:    map[int]int64{4: 1},
			silent:   []int{1, 2, 3, 5, 6},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b Book
			for _, r := range test.requests {
				b.Add(otlp.ProcessSummary{PID: r.pid, InstanceID: r.instance, Spans: 1}, epoch.UnixNano(), true, r.origin)
			}
			spans := map[int]int64{}
			var silent []int
			for _, p := range b.Join(tree, true) {
				if p.Spans != 0 {
					spans[p.PID] = p.Spans
				}
				if p.Silent {
					silent = append(silent, p.PID)
				}
			}
			if !maps.Equal(spans, test.spans) || !slices.Equal(silent, test.silent) {
				t.Errorf("spans by pid %v, want %v\nsilent %v, want %v", spans, test.spans, silent, test.silent)
			}
			for _, p := range b.Join(tree, false) {
				if p.Silent {
					t.Errorf("%d is called silent while it may still send", p.PID)
				}
			}
		})
	}
}

// TestSharedConnection wants no verdict on a copy of a process that had a connection open when it was copied.
func TestSharedConnection(t *testing.T) {
	var b Book
	b.Add(otlp.ProcessSummary{PID: 1, Spans: 1}, epoch.UnixNano(), true, peerOf(1))
	after := time.Now().Add(time.Second)
	before, copied, deeper, other := process(2, 1, "a"), process(3, 1, "a"), process(4, 3, "a"), process(5, 1, "b")
	copied.Started, deeper.Started, other.Started = after, after, after
	silent := ""
	for _, p := range b.Join([]proctree.Process{process(1, 0, "a"), before, copied, deeper, other}, true) {
		if p.Silent {
			silent += fmt.Sprint(p.PID, " ")
		}
	}
	if silent != "2 5 " {
		t.Errorf("silent: %s", silent)
	}
}

// TestPIDUsedAgain wants spans with the process that had the pid when they came.
func TestPIDUsedAgain(t *testing.T) {
	older, younger := process(7, 1, "a"), process(7, 1, "b")
	younger.Start = 8
	younger.Started = time.Now().Add(time.Hour)
	var b Book
	b.Add(otlp.ProcessSummary{PID: 7, Spans: 3}, epoch.UnixNano(), true, Origin{})
	b.Add(otlp.ProcessSummary{Spans: 5}, epoch.UnixNano(), true, Origin{Peer: younger.ID})
	list := b.Join([]proctree.Process{process(1, 0, "sh"), older, younger}, true)
	if list[1].Spans != 3 || list[2].Spans != 5 {
		t.Errorf("%d and %d spans", list[1].Spans, list[2].Spans)
	}
}

// TestFacts wants the earliest start, counts of what has ended, and a forkspan further down never called silent.
func TestFacts(t *testing.T) {
	var b Book
	b.Add(otlp.ProcessSummary{PID: 1, Name: "API", Spans: 2}, epoch.Add(3*time.Second).UnixNano(), true, peerOf(1))
	b.Add(otlp.ProcessSummary{PID: 1, Name: "API", Spans: 2}, epoch.Add(2*time.Second).UnixNano(), false, peerOf(1))
	b.Add(otlp.ProcessSummary{PID: 1, Name: "late", Spans: 1}, epoch.Add(9*time.Second).UnixNano(), true, peerOf(1))
	b.Supervisor(id(2))
	running := process(3, 1, "daemon")
	running.Ended = time.Time{}
	list := b.Join([]proctree.Process{running, process(2, 1, "forkspan"), process(1, 0, "api")}, true)
	if list[0].PID != 1 || list[0].Spans != 3 || !list[0].FirstSpan.Equal(epoch.Add(2*time.Second)) || len(list[0].Senders) != 2 {
		t.Errorf("%+v", list[0])
	}
	if list[1].Silent || list[2].Silent {
		t.Error("a forkspan, or a process that still runs, is called silent")
	}
	if b.Changes() != 2 {
		t.Errorf("%d resources", b.Changes())
	}
}

// TestStrangeTrees wants an end, whatever parents say.
func TestStrangeTrees(t *testing.T) {
	var b Book
	b.Add(otlp.ProcessSummary{PID: 3, Spans: 1}, epoch.UnixNano(), true, peerOf(1))
	if list := b.Join([]proctree.Process{process(1, 2, "a"), process(2, 1, "a"), process(3, 9, "a")}, true); len(list) != 3 {
		t.Errorf("%d processes", len(list))
	}
	if list := b.Join(nil, true); len(list) != 0 {
		t.Error("processes out of nothing")
	}
}
