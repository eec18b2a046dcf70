package cli

import (
	"context"
	"fmt"
	"slices"

	"forkspan.dev/forkspan/internal/lineage"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/internal/supervise"
	"forkspan.dev/forkspan/internal/timeline"
)

// putProcesses stores what is known of processes. A store that fails says so where spans are put.
func (r *localRun) putProcesses(list []store.Process) {
	if st := r.writable(); st != nil && len(list) > 0 {
		_ = st.PutProcesses(context.Background(), r.runID, list)
	}
}

// saveTree writes the run's row with all that is known of its processes.
func (r *localRun) saveTree() {
	if st := r.writable(); st != nil {
		_ = st.PutTree(context.Background(), r.record, r.tree.Settled())
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
	if r.record.Account.Senders > 0 {
		times := "x"
		if r.textOptions(r.Stderr).Unicode {
			times = "×"
		}
		if line := silentLine(r.tree.Settled(), times); line != "" {
			lines = append(lines, line)
		}
	}
	if line := coverageLine(r.record.Account); line != "" {
		lines = append(lines, line)
	}
	return lines
}

// describe returns how a process of a tree is called that outlives the command, and what else is known of it.
func describe(tree []store.Process, d supervise.Descendant) (name, facts string) {
	for i := range slices.Backward(tree) {
		p := &tree[i]
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

// accountOf adds what there is to say of a run's processes.
func accountOf(tree *lineage.Tree, a *store.Account) {
	coverage := tree.Coverage()
	a.Coverage = &coverage
	settled := tree.Settled()
	if coverage.Unwatched || len(settled) == 0 {
		return
	}
	processes, silent := countTree(settled)
	a.Processes, a.Silent = int64(processes), int64(silent)
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
