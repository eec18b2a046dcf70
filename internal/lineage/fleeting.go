package lineage

import (
	"slices"
	"time"

	"forkspan.dev/forkspan/internal/proctree"
	"forkspan.dev/forkspan/internal/store"
)

// isCopy tells whether a process is a copy of its parent that has never executed a program.
func isCopy(p, parent *store.Process) bool {
	return p.Execed.IsZero() && slices.Equal(p.Args, parent.Args)
}

// Fleeting tells which processes were copies of their parent that sent nothing and were gone within 50 ms, or within a second in
// which they got to do nothing: on a busy machine they wait for their turn. Programs make such to find out what the system can do,
// shells for what stands in parentheses: nobody would call them processes of theirs.
func Fleeting(tree []store.Process) []bool {
	const atOnce, atOnceIdle = 50 * time.Millisecond, time.Second
	byID := make(map[proctree.ID]int, len(tree))
	for i := range tree {
		byID[tree[i].ID] = i
	}
	fleeting := make([]bool, len(tree))
	for i := range tree {
		p := &tree[i]
		parent, ok := byID[p.Parent]
		most := atOnce
		if p.User+p.System == 0 {
			most = atOnceIdle
		}
		fleeting[i] = ok && parent != i && p.FirstSpan.IsZero() && p.Signal == 0 && !p.Ended.IsZero() &&
			p.Ended.Sub(p.Started) < most && isCopy(p, &tree[parent])
	}
	for i := range tree { // one that has started others was of use
		if parent, ok := byID[tree[i].Parent]; ok && !fleeting[i] {
			fleeting[parent] = false
		}
	}
	return fleeting
}
