package cli

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"forkspan.dev/forkspan/internal/lineage"
	"forkspan.dev/forkspan/internal/proctree"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/internal/timeline"
)

// showProcesses draws a run's processes as a tree, each below the one that started it.
func (a *app) showProcesses(out io.Writer, src *source, f showFlags) error {
	if len(src.tree) == 0 {
		if src.run == nil || src.run.Kind != "run" {
			return &exitError{status: statusError, err: fmt.Errorf("show: %s: only what forkspan run has recorded has processes", src.title)}
		}
		return &exitError{status: statusError, err: fmt.Errorf("show: nothing is known of the processes of run %s", src.run.ID)}
	}
	if f.json {
		return writeTreeJSON(out, src)
	}
	text := a.textOptions(a.Stdout)
	if f.width > 0 {
		text.Width = f.width
	}
	if _, err := fmt.Fprintln(out, a.heading(src, text)); err != nil {
		return err
	}
	t := treeTable(src.tree, f, text.Unicode)
	if len(t.rows) == 0 {
		_, err := fmt.Fprintln(out, "no process matches")
		return err
	}
	if _, err := out.Write(t.render(text, 0)); err != nil {
		return err
	}
	if line := coverageLine(src.run.Account); line != "" {
		_, err := fmt.Fprintln(out, line)
		return err
	}
	return nil
}

// heading is the first line of what show prints, without counts.
func (a *app) heading(src *source, text timeline.TextOptions) string {
	title := timeline.Clean(src.title)
	if text.Color {
		title = "\x1b[1m" + title + "\x1b[0m"
	}
	return title
}

// treeTable lists processes. Where --all does not want each, those without children that are alike stand together, and copies of
// programs that were gone at once are left out.
func treeTable(tree []store.Process, f showFlags, unicode bool) *table {
	t := &table{
		head:  []string{"PROCESS", "PID", "START", "TIME", "FIRST SPAN", "SPANS", "CPU", "MEMORY", "END"},
		right: []bool{false, true, true, true, true, true, true, true, false},
		spare: []int{7, 6, 2},
		least: 32, // arguments tell processes apart
	}
	l := &treeLister{tree: tree, table: t, flags: f, children: map[int][]int{}, unicode: unicode}
	l.list()
	return t
}

// treeLister fills a table with processes.
type treeLister struct {
	tree     []store.Process
	table    *table
	flags    showFlags
	children map[int][]int // by index; those of no known parent are the root's
	unicode  bool
}

func (l *treeLister) list() {
	byID := make(map[proctree.ID]int, len(l.tree))
	for i := range l.tree {
		byID[l.tree[i].ID] = i
	}
	fleeting := lineage.Fleeting(l.tree)
	for i := 1; i < len(l.tree); i++ {
		if fleeting[i] && !l.flags.all {
			continue
		}
		parent, ok := byID[l.tree[i].Parent]
		if !ok || parent >= i { // started before its parent: the clock of the system is not that fine
			parent = 0
		}
		l.children[parent] = append(l.children[parent], i)
	}
	l.walk(0, "", "")
}

// walk lists a process and all below it. The guides are those of its own line and of the lines below. Depth is bounded by what
// starts after what, and drawn by guides that stop growing.
func (l *treeLister) walk(at int, guide, below string) {
	p := &l.tree[at]
	if l.wanted(p) {
		l.row(guide, []*store.Process{p})
	}
	groups := l.alike(l.children[at])
	for i, g := range groups {
		tee, pipe := "├ ", "│ "
		if !l.unicode {
			tee, pipe = "|-", "| "
		}
		if i == len(groups)-1 {
			tee, pipe = "└ ", "  "
			if !l.unicode {
				tee = "`-"
			}
		}
		const deepest = 40
		if len(below) > deepest {
			tee, pipe = "", ""
		}
		if len(g) > 1 {
			members := make([]*store.Process, len(g))
			for k, m := range g {
				members[k] = &l.tree[m]
			}
			if l.wanted(members[0]) {
				l.row(below+tee, members)
			}
			continue
		}
		l.walk(g[0], below+tee, below+pipe)
	}
}

// wanted tells whether the flags let a process through.
func (l *treeLister) wanted(p *store.Process) bool {
	_, failed := processEnd(p)
	return (!l.flags.errors || failed) && processCalled(p, l.flags.process) &&
		(p.Ended.IsZero() || p.Ended.Sub(p.Started) >= l.flags.minDuration)
}

// processCalled tells whether a user who wrote name could mean p: a part of its command line or of what its spans call it, or its
// pid.
func processCalled(p *store.Process, name string) bool {
	if name == "" || strconv.Itoa(p.PID) == name {
		return true
	}
	name = strings.ToLower(name)
	called := func(s string) bool { return strings.Contains(strings.ToLower(s), name) }
	if called(p.Program) || slices.ContainsFunc(p.Args, called) {
		return true
	}
	for _, s := range p.Senders {
		if called(s.Name) || called(s.Kind) || called(s.Service) {
			return true
		}
	}
	return false
}

// alike puts siblings together that have no children and sent no spans, and whose command line and end are the same.
func (l *treeLister) alike(children []int) [][]int {
	type key struct{ command, end string }
	const few = 3 // as many are told one by one
	count := map[key]int{}
	keyOf := func(at int) (key, bool) {
		p := &l.tree[at]
		if l.flags.all || l.flags.noGroup || len(l.children[at]) > 0 || p.Spans > 0 || len(p.Senders) > 0 || p.Ended.IsZero() {
			return key{}, false
		}
		how, _ := processEnd(p)
		return key{commandOf(p, longestCommand), how}, true
	}
	for _, at := range children {
		if k, ok := keyOf(at); ok {
			count[k]++
		}
	}
	var groups [][]int
	place := map[key]int{}
	for _, at := range children {
		k, ok := keyOf(at)
		if !ok || count[k] <= few {
			groups = append(groups, []int{at})
			continue
		}
		if _, ok := place[k]; !ok {
			place[k] = len(groups)
			groups = append(groups, nil)
		}
		groups[place[k]] = append(groups[place[k]], at)
	}
	return groups
}

// row adds one line, of one process or of several that are alike.
func (l *treeLister) row(guide string, members []*store.Process) {
	p := members[0]
	root := l.tree[0].Started
	name, pid, times := commandOf(p, 200), strconv.Itoa(p.PID), "x"
	if l.unicode {
		times = "×"
	}
	if len(members) > 1 {
		name += " " + times + timeline.FormatCount(int64(len(members)))
		pid = ""
	}
	var cpu, shortest, longest time.Duration
	var memory int64
	for i, m := range members {
		cpu += m.User + m.System
		memory = max(memory, m.MaxRSS)
		lived := m.Ended.Sub(m.Started)
		if i == 0 {
			shortest = lived
		}
		shortest, longest = min(shortest, lived), max(longest, lived)
	}
	start, lived, first, spans, used, peak := "", "", "", "", "", ""
	if !p.Started.IsZero() {
		start = "+" + elapsed(p.Started.Sub(root))
		if !p.Ended.IsZero() {
			lived = elapsed(longest)
			if s := elapsed(shortest); s != lived {
				lived = s + "-" + lived
			}
		}
		if !p.FirstSpan.IsZero() {
			first = elapsed(max(0, p.FirstSpan.Sub(p.Started)))
		}
	}
	switch {
	case p.Silent:
		spans = "silent"
	case p.Spans > 0 || len(p.Senders) > 0:
		spans = timeline.FormatCount(p.Spans)
	}
	if cpu > 0 {
		used = elapsed(cpu)
	}
	if memory > 0 {
		peak = formatBytes(memory)
	}
	end, _ := processEnd(p)
	switch {
	case end != "":
	case p.Ended.IsZero():
		end = "still running"
	default:
		end = "ended"
	}
	l.table.add(guide+name, pid, start, lived, first, spans, used, peak, end)
}

// formatBytes writes a size as people say it, in powers of 1024: 18 MB, 1.4 GB.
func formatBytes(n int64) string {
	const units = "kMGTPE"
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, unit := float64(n)/1024, 0
	for v >= 999.5 && unit < len(units)-1 {
		v, unit = v/1024, unit+1
	}
	digits := 0
	if v < 9.95 {
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + " " + units[unit:unit+1] + "B"
}
