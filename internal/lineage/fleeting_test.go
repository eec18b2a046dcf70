package lineage

import (
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/proctree"
	"forkspan.dev/forkspan/internal/store"
)

func TestFleeting(t *testing.T) {
	began := time.Unix(1_700_000_000, 0)
	process := func(pid, parent int, lived time.Duration) store.Process {
		return store.Process{Process: proctree.Process{
			ID: proctree.ID{PID: pid, Start: uint64(pid)}, Parent: proctree.ID{PID: parent, Start: uint64(parent)}, Args: []string{"server"},
			Started: began, Ended: began.Add(lived), Exited: true,
		}}
	}
	for _, test := range []struct {
		name   string
		lived  time.Duration
		change func(*store.Process)
		want   bool
	}{
		{"gone at once", time.Millisecond, nil, true},
		{"gone at once, having worked", time.Millisecond, func(p *store.Process) { p.User = 10 * time.Millisecond }, true},
		{"waited for its turn", 300 * time.Millisecond, nil, true},
		{"worked for some time", 300 * time.Millisecond, func(p *store.Process) { p.System = 10 * time.Millisecond }, false},
		{"idled", 2 * time.Second, nil, false},
		{"lives", time.Millisecond, func(p *store.Process) { p.Ended = time.Time{} }, false},
		{"was killed", time.Millisecond, func(p *store.Process) { p.Signal = 9 }, false},
		{"has sent a span", time.Millisecond, func(p *store.Process) { p.FirstSpan = began }, false},
		{"another program", time.Millisecond, func(p *store.Process) { p.Args = []string{"true"} }, false},
		{"has executed its program anew", time.Millisecond, func(p *store.Process) { p.Execed = began }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree := []store.Process{process(1, 0, time.Minute), process(2, 1, test.lived)}
			if test.change != nil {
				test.change(&tree[1])
			}
			if got := Fleeting(tree); got[0] || got[1] != test.want {
				t.Errorf("got %v", got)
			}
			child := process(3, 2, time.Minute)
			if got := Fleeting(append(tree, child)); got[1] {
				t.Error("one that has started others is fleeting")
			}
		})
	}
}
