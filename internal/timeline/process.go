package timeline

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"forkspan.dev/forkspan/internal/otlp"
)

// Process is a program that spans came from: a lane of the drawing.
type Process struct {
	*otlp.Process
	Label string // what a reader calls it; unique within a Timeline
	Start int64  // first sign of life, Unix nanoseconds
	End   int64  // last sign of life
	Spans int

	base string // Name without its rank: "Worker_" of "Worker_1"; empty when it has none
	rank int

	system []*OSProcess // those that may have sent its spans
}

// identity is what tells two processes apart. Equal programs on two hosts may share a pid, forked children may share everything
// but the instance id.
type identity struct {
	service, instance, kind, name, host string
	pid                                 int
}

func identify(p *otlp.Process) identity {
	id := identity{service: p.Service, instance: p.InstanceID, kind: p.Kind, name: p.Name, pid: p.PID}
	for _, f := range p.Attributes {
		if f.Key == "host.name" {
			id.host, _ = f.Value.(string)
		}
	}
	return id
}

func (a identity) compare(b identity) int {
	return cmp.Or(
		cmp.Compare(a.service, b.service),
		cmp.Compare(a.kind, b.kind),
		compareNatural(a.name, b.name),
		cmp.Compare(a.host, b.host),
		cmp.Compare(a.pid, b.pid),
		cmp.Compare(a.instance, b.instance),
	)
}

// compareNatural orders Worker_2 before Worker_10.
func compareNatural(a, b string) int {
	baseA, rankA := splitRank(a)
	baseB, rankB := splitRank(b)
	return cmp.Or(cmp.Compare(baseA, baseB), cmp.Compare(rankA, rankB), cmp.Compare(a, b))
}

// splitRank takes the number off the end of a process's name. The base is empty when there is none or when nothing else is left.
func splitRank(name string) (base string, rank int) {
	base = strings.TrimRight(name, "0123456789")
	if base == name || base == "" {
		return "", 0
	}
	rank, err := strconv.Atoi(name[len(base):])
	if err != nil {
		return "", 0
	}
	return base, rank
}

// interner gives each process of the spans a number, whichever request its resource came in.
type interner struct {
	byPointer  map[*otlp.Process]int32
	byIdentity map[identity]int32
	identities []identity
	processes  []Process
}

func newInterner() *interner {
	return &interner{byPointer: map[*otlp.Process]int32{}, byIdentity: map[identity]int32{}}
}

var noProcess otlp.Process

func (in *interner) number(p *otlp.Process) int32 {
	if n, ok := in.byPointer[p]; ok {
		return n
	}
	pointer := p
	if p == nil {
		p = &noProcess
	}
	id := identify(p)
	n, ok := in.byIdentity[id]
	if !ok {
		n = int32(len(in.processes))
		in.byIdentity[id] = n
		in.identities = append(in.identities, id)
		lane := Process{Process: p}
		lane.base, lane.rank = splitRank(p.Name)
		in.processes = append(in.processes, lane)
	}
	in.byPointer[pointer] = n
	return n
}

// label names every process; where several would get the same name the pid follows it in brackets, and where that is equal too
// a running number. forkspan's own spans are about a command and have its name: they leave it to the command's process.
func label(processes []Process) {
	seen := map[string]int{}
	for i := range processes {
		p := &processes[i]
		p.Label = plainLabel(p.Process)
		if !p.supervisor() {
			seen[p.Label]++
		}
	}
	taken := map[string]bool{}
	for i := range processes {
		p := &processes[i]
		if p.supervisor() {
			continue
		}
		if seen[p.Label] > 1 && p.PID != 0 && !strings.HasPrefix(p.Label, "pid ") {
			p.Label += "[" + strconv.Itoa(p.PID) + "]"
		}
		for unique, n := p.Label, 2; ; n++ {
			if !taken[unique] {
				p.Label = unique
				break
			}
			unique = p.Label + "#" + strconv.Itoa(n)
		}
		taken[p.Label] = true
	}
}

// supervisor tells whether the spans are those that forkspan itself makes about a command.
func (p *Process) supervisor() bool {
	for _, f := range p.Attributes {
		if f.Key == "telemetry.sdk.name" {
			return f.Value == "forkspan"
		}
	}
	return false
}

// plainLabel is vllm.process_name, else service.name unless the SDK made it up, else the role, else the pid.
func plainLabel(p *otlp.Process) string {
	switch {
	case p.Name != "":
		return p.Name
	case p.Service != "" && p.Service != "unknown_service" && !strings.HasPrefix(p.Service, "unknown_service:"):
		return p.Service
	case p.Kind != "":
		return p.Kind
	case p.PID != 0:
		return "pid " + strconv.Itoa(p.PID)
	}
	return "unknown process"
}

// rankRange is the joint name of several ranks: "Worker_0 … 7".
func rankRange(members []*Process) string {
	ranks := make([]int, len(members))
	for i, p := range members {
		ranks[i] = p.rank
	}
	low, high := slices.Min(ranks), slices.Max(ranks)
	if low == high {
		return members[0].Name
	}
	return members[0].base + strconv.Itoa(low) + " … " + strconv.Itoa(high)
}
