package timeline

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"forkspan.dev/forkspan/internal/otlp"
)

// OSProcess is what the operating system knows of a process that spans came from. Times are Unix nanoseconds, 0 when not known.
type OSProcess struct {
	PID                       int
	Program                   string
	Started, FirstSpan, Ended int64
	How                       string // how it ended: "exited 3", "killed by SIGKILL"; empty when that is not known
	Failed                    bool   // that was no end to be wished for
	Senders                   []otlp.ProcessSummary
}

// Gap is how long processes ran before their first span.
type Gap struct {
	Label             string // of the process, or of ranks
	Process           int    // index into Timeline.Processes, of ranks the lowest
	Shortest, Longest int64  // nanoseconds; equal for one process
}

// Death is how a process ended that failed.
type Death struct {
	Label   string
	Process int // index into Timeline.Processes
	How     string
	After   int64 // nanoseconds since its start
}

// leastGap is the shortest time before a first span that is worth a word: below it is what any program takes to start.
const leastGap = int64(50e6)

// know links the lanes with what the system knows of them.
func (f *forest) know(system []OSProcess) {
	type lane struct{ service, instance, kind, name string }
	bySender := map[lane][]*OSProcess{}
	for i := range system {
		for _, s := range system[i].Senders {
			key := lane{s.Service, s.InstanceID, s.Kind, s.Name}
			if list := bySender[key]; len(list) == 0 || list[len(list)-1] != &system[i] {
				bySender[key] = append(list, &system[i])
			}
		}
	}
	if len(bySender) == 0 {
		return
	}
	for i := range f.processes {
		p := &f.processes[i]
		if p.supervisor() {
			continue
		}
		for _, known := range bySender[lane{p.Service, p.InstanceID, p.Kind, p.Name}] {
			if known.PID == p.PID {
				p.system = []*OSProcess{known}
				break
			}
			if slices.ContainsFunc(known.Senders, func(s otlp.ProcessSummary) bool { return s.PID == p.PID }) {
				p.system = append(p.system, known)
			}
		}
	}
}

// adopt makes one lane of those that the system knows to be one process and that only say different amounts of it: of no SDK is
// the resource of the spans that the Python module makes of a process; the module adds the pid to others in a journal, but not
// to those sent to the port; and an SDK gives a forked child another instance id.
func (f *forest) adopt() {
	type program struct {
		system *OSProcess
		identity
	}
	first := map[*OSProcess]int32{} // of an SDK
	lanes := map[program]int32{}
	to := make([]int32, len(f.processes))
	for i := range f.processes {
		to[i] = int32(i)
		p := &f.processes[i]
		if len(p.system) != 1 || !p.sdk() {
			continue
		}
		key := program{p.system[0], identify(p.Process)}
		key.instance, key.pid = "", 0
		at, ok := lanes[key]
		switch {
		case !ok:
			lanes[key] = int32(i)
		case f.processes[at].PID == 0:
			f.processes[at].Process = p.Process
			fallthrough
		default:
			to[i] = at
		}
		if _, ok := first[p.system[0]]; !ok {
			first[p.system[0]] = to[i]
		}
	}
	for i := range f.processes {
		if p := &f.processes[i]; len(p.system) == 1 && !p.sdk() {
			if at, ok := first[p.system[0]]; ok {
				to[i] = at
			}
		}
	}
	for i := range f.nodes {
		f.nodes[i].proc = to[f.nodes[i].proc]
	}
	all := f.processes
	f.processes = nil
	f.number(all)
}

// sdk tells whether the resource is one of an SDK.
func (p *Process) sdk() bool {
	return p.InstanceID != "" || p.Kind != "" || p.Name != "" ||
		slices.ContainsFunc(p.Attributes, func(f otlp.Field) bool { return f.Key == "telemetry.sdk.name" })
}

// System is what the system knows of the lane's process: nothing when that is not known, more than one when several sent under
// one resource.
func (p *Process) System() []*OSProcess { return p.system }

// lives tells whether it is known that the process has not ended.
func (p *Process) lives() bool {
	return len(p.system) > 0 && !slices.ContainsFunc(p.system, func(known *OSProcess) bool { return known.Ended != 0 })
}

// ended is when the process ended; 0 when that is not known, or when there are several.
func (p *Process) ended() int64 {
	if len(p.system) != 1 {
		return 0
	}
	return p.system[0].Ended
}

// tell fills Gaps and Deaths.
func (t *Timeline) tell() {
	done := map[*OSProcess]bool{}
	var gaps []Gap
	byBase := map[string]int{} // index into gaps, of ranks
	least := max(leastGap, (t.End-t.Start)/100)
	for i := range t.Processes {
		p := &t.Processes[i]
		for _, known := range p.system {
			if done[known] {
				continue // lanes are ordered by their first span
			}
			done[known] = true
			label := p.Label
			if len(p.system) > 1 {
				label = plainLabel(p.Process) + "[" + strconv.Itoa(known.PID) + "]"
			}
			if known.Failed && known.Started != 0 && known.Ended != 0 {
				t.Deaths = append(t.Deaths, Death{label, i, known.How, known.Ended - known.Started})
			}
			gap := known.FirstSpan - known.Started
			if known.Started == 0 || known.FirstSpan == 0 || gap < least || known.Started > t.End {
				continue
			}
			if at, ok := byBase[p.base]; ok && p.base != "" {
				g := &gaps[at]
				g.Shortest, g.Longest = min(g.Shortest, gap), max(g.Longest, gap)
				g.Label = rankRange([]*Process{&t.Processes[g.Process], p})
				if p.rank < t.Processes[g.Process].rank {
					g.Process = i
				}
				continue
			}
			byBase[p.base] = len(gaps)
			gaps = append(gaps, Gap{label, i, gap, gap})
		}
	}
	slices.SortStableFunc(gaps, func(a, b Gap) int { return cmp.Compare(b.Longest, a.Longest) })
	t.Gaps = gaps
}

// explain says of the outermost unfinished spans how their processes ended.
func (b *builder) explain(r *Row, at int32) {
	n := &b.f.nodes[at]
	if !n.has(unfinished) || n.parent != none && b.f.nodes[n.parent].has(unfinished) && b.f.nodes[n.parent].proc == n.proc {
		return
	}
	system := b.f.processes[n.proc].system
	if len(system) != 1 || system[0].Ended == 0 {
		return
	}
	known := system[0]
	r.Death = &Death{Label: b.f.processes[n.proc].Label, Process: int(n.proc), How: known.How, After: known.Ended - b.t.Start}
}

// mostTold is how many processes one line of the foot names.
const mostTold = 4

// foot ends the drawing with what there is to say of processes.
func (d *drawing) foot() {
	if len(d.t.Gaps) > 0 {
		parts := make([]string, 0, mostTold)
		for i, g := range d.t.Gaps {
			if i == mostTold {
				parts = append(parts, "and "+FormatCount(int64(len(d.t.Gaps)-mostTold))+" more")
				break
			}
			parts = append(parts, d.ascii(Clean(g.Label))+" start "+d.text(formatRange(g.Shortest, g.Longest, d.g.dash)))
		}
		d.footLine(dim, "no span: "+strings.Join(parts, ", "))
	}
	for i, death := range d.t.Deaths {
		if i == mostTold {
			d.footLine(red, "and "+FormatCount(int64(len(d.t.Deaths)-mostTold))+" more processes that failed")
			break
		}
		d.footLine(red, d.ascii(Clean(death.Label))+" "+death.How+", "+d.text(FormatDuration(death.After))+" after its start")
	}
}

func (d *drawing) footLine(st style, text string) {
	for _, line := range wrap(text, d.width, errorLines, d.g.ellipsis) {
		d.pen.put(st, line)
		d.pen.buf = append(d.pen.buf, '\n')
	}
}

// ascii is a label of ours in d's glyphs.
func (d *drawing) ascii(label string) string {
	if d.g == &asciiGlyphs {
		return strings.ReplaceAll(label, " … ", d.g.to)
	}
	return label
}
