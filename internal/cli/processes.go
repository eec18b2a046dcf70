package cli

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/lineage"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/internal/timeline"
)

// processEnd says how a process ended, and whether that was a failure; empty when nobody saw it. Those signals are none by which
// a program is asked to end.
func processEnd(p *store.Process) (how string, failed bool) {
	switch {
	case p.OOMKilled:
		return "killed for want of memory", true
	case !p.Exited:
		return "", false
	case p.Signal != 0:
		sig := syscall.Signal(p.Signal)
		asked := sig == syscall.SIGTERM || sig == syscall.SIGINT || sig == syscall.SIGHUP || sig == syscall.SIGPIPE
		return "killed by " + commandspan.SignalName(sig), !asked
	}
	return fmt.Sprintf("exited %d", p.Code), p.Code != 0
}

// systemFacts are the processes as a drawing needs them. The root's end is the run's: it is told elsewhere.
func systemFacts(tree []store.Process) []timeline.OSProcess {
	var facts []timeline.OSProcess
	for i := range tree {
		p := &tree[i]
		if len(p.Senders) == 0 {
			continue
		}
		how, failed := processEnd(p)
		facts = append(facts, timeline.OSProcess{
			PID: p.PID, Program: programOf(p), Started: unixOf(p.Started), FirstSpan: unixOf(p.FirstSpan), Ended: unixOf(p.Ended),
			How: how, Failed: failed && i > 0, Senders: p.Senders,
		})
	}
	return facts
}

// unixOf is a time in Unix nanoseconds, 0 for none.
func unixOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// programOf is a program's name without its folder: as it was called, else as the kernel has it.
func programOf(p *store.Process) string {
	if len(p.Args) == 0 || p.Args[0] == "" {
		return cmp.Or(p.Program, "unknown program")
	}
	return commandspan.BaseName(strings.TrimPrefix(p.Args[0], "-")) // a login shell's has that
}

// pythonTask finds what a command line of Python's multiprocessing is for.
var pythonTask = regexp.MustCompile(`^from multiprocessing\.(\w+) import (\w+)`)

// longestCommand is how many columns a command line gets where there are several in a line.
const longestCommand = 60

// commandOf is a process's command line, shortened to what tells it from others.
func commandOf(p *store.Process, columns int) string {
	words := []string{programOf(p)}
	if len(p.Args) > 1 {
		rest := p.Args[1:]
		for i, arg := range rest {
			if m := pythonTask.FindStringSubmatch(arg); m != nil && i > 0 && rest[i-1] == "-c" {
				return words[0] + " (" + cmp.Or(strings.TrimPrefix(m[2], "main"), m[1]) + ")"
			}
			words = append(words, quoted(arg))
		}
	}
	return timeline.Truncate(timeline.Clean(strings.Join(words, " ")), columns)
}

// plumbing are programs of shells and make files. They say little about who should have sent spans.
var plumbing = map[string]bool{}

func init() {
	for name := range strings.FieldsSeq(`sh bash dash zsh busybox env nice nohup timeout tini dumb-init xargs make ninja true false
		test expr sleep cat cp mv rm ln ls mkdir rmdir chmod chown touch head tail sed awk gawk mawk grep egrep fgrep sort uniq tr
		cut tee wc find dirname basename date uname hostname id which readlink realpath mktemp seq echo printf pwd stat ps kill
		ldconfig git`) {
		plumbing[name] = true
	}
}

// countTree counts the processes that a user would call so, and the silent ones.
func countTree(tree []store.Process) (processes, silent int) {
	for i, fleeting := range lineage.Fleeting(tree) {
		if !fleeting {
			processes++
		}
		if tree[i].Silent {
			silent++
		}
	}
	return processes, silent
}

// group is processes that a line tells of as one.
type group struct {
	text   string
	pid    int // of the only one
	count  int
	weight time.Duration // CPU time and life of the largest
	last   bool          // it is told after the others
}

// silentGroups returns the silent processes, those first of which one would least expect it: programs before shells and their
// helpers, and what used and lived most before the rest. Each stands for itself while they are no more than most; else those
// with one command line stand together, or if need be those of one program.
func silentGroups(tree []store.Process, most int) []group {
	var silent []*store.Process
	for i := range tree {
		if tree[i].Silent {
			silent = append(silent, &tree[i])
		}
	}
	groups := groupBy(silent, func(p *store.Process) string { return commandOf(p, longestCommand) })
	if len(groups) > most {
		groups = groupBy(silent, programOf)
	}
	return groups
}

func groupBy(list []*store.Process, text func(*store.Process) string) []group {
	byText := map[string]int{}
	var groups []group
	only := map[int]*store.Process{}
	for _, p := range list {
		key := text(p)
		at, ok := byText[key]
		if !ok {
			at = len(groups)
			byText[key] = at
			only[at] = p
			groups = append(groups, group{text: key, pid: p.PID, last: plumbing[programOf(p)]})
		}
		g := &groups[at]
		g.count++
		g.weight = max(g.weight, 10*(p.User+p.System)+p.Ended.Sub(p.Started)) // who waits is less telling than who works
	}
	for i := range groups {
		if g := &groups[i]; g.count == 1 {
			g.text = commandOf(only[i], longestCommand)
		} else {
			g.text = timeline.Clean(g.text)
		}
	}
	slices.SortStableFunc(groups, func(a, b group) int {
		switch {
		case a.last == b.last:
			return cmp.Compare(b.weight, a.weight)
		case a.last:
			return 1
		}
		return -1
	})
	return groups
}

// mostSilent is how many processes, or groups of them, the line of the silent ones names.
const mostSilent = 6

// silentLine names the silent processes; empty when there are none. It is bounded, however many there are.
func silentLine(tree []store.Process, times string) string {
	var names []string
	left := 0
	for i, g := range silentGroups(tree, mostSilent) {
		switch {
		case i >= mostSilent:
			left += g.count
		case g.count == 1:
			names = append(names, fmt.Sprintf("%s pid %d", g.text, g.pid))
		default:
			names = append(names, g.text+" "+times+timeline.FormatCount(int64(g.count)))
		}
	}
	if len(names) == 0 {
		return ""
	}
	if left > 0 {
		names = append(names, timeline.FormatCount(int64(left))+" more")
	}
	return "silent: " + strings.Join(names, ", ")
}
