package forward

import (
	"crypto/sha256"
	"fmt"

	"forkspan.dev/forkspan/internal/otlp"
)

// ranks gives new ids to spans that share theirs with a span of another process: ranks that seed the generator of their ids
// alike. The first process that has an id keeps it.
//
// Children often come before their parents. So an id belongs to a process too once a span of the process has named it as its
// local parent; but against a process that has really sent it this counts only where both are known to share ids.
type ranks struct {
	owners  *memory[owner]    // by the key of a span
	renamed *memory[struct{}] // by the keys of a span and its process
	twins   *memory[struct{}] // by the keys of two processes
}

// key is a hash; two different things have the same by a chance that is not worth a thought.
type key uint64

type owner struct {
	process key
	sent    bool // else it was only named as a parent
}

func newRanks() *ranks {
	const spans, few = 1 << 17, 1 << 14
	return &ranks{owners: newMemory[owner](spans), renamed: newMemory[struct{}](spans), twins: newMemory[struct{}](few)}
}

// changes returns a change for each span, nil when nothing is to be changed.
func (r *ranks) changes(spans []otlp.Span) (changes []*change) {
	change1 := func(i int) *change {
		if changes == nil {
			changes = make([]*change, len(spans))
		}
		if changes[i] == nil {
			changes[i] = &change{}
		}
		return changes[i]
	}
	processes := make(map[*otlp.Process]identity)
	process := func(s *otlp.Span) identity {
		id, ok := processes[s.Process]
		if !ok {
			id = identify(s.Process)
			processes[s.Process] = id
		}
		return id
	}
	// Who sent an id first, and who shares ids with whom.
	var named []int // spans whose ids others have named before
	for i := range spans {
		s := &spans[i]
		p, k := process(s).key, spanKey(s.TraceID, s.SpanID)
		switch before, known := r.owners.get(k); {
		case !known || before.process == p:
			r.owners.put(k, owner{p, true})
		case before.sent:
			r.twins.put(pairKey(before.process, p), struct{}{})
			r.rename(k, p)
		default:
			named = append(named, i)
		}
	}
	for _, i := range named {
		s := &spans[i]
		p, k := process(s).key, spanKey(s.TraceID, s.SpanID)
		if before, _ := r.owners.get(k); before.process != p && r.twins.has(pairKey(before.process, p)) {
			r.rename(k, p)
		} else {
			r.owners.put(k, owner{p, true})
		}
	}
	for i := range spans {
		s := &spans[i]
		if isLocal(s) {
			k := spanKey(s.TraceID, s.ParentID)
			if _, known := r.owners.get(k); !known {
				r.owners.put(k, owner{process(s).key, false})
			}
		}
	}
	for i := range spans {
		s := &spans[i]
		id := process(s)
		if r.isRenamed(spanKey(s.TraceID, s.SpanID), id.key) {
			change1(i).span = id.newSpan(s.TraceID, s.SpanID)
		}
		if s.ParentID != (otlp.SpanID{}) && r.parentRenamed(s, id.key) {
			change1(i).parent = id.newSpan(s.TraceID, s.ParentID)
		}
		for _, link := range s.Links() {
			if r.isRenamed(spanKey(link.TraceID, link.SpanID), id.key) {
				change1(i).relink(link, func(to *spanRef) { to.span = id.newSpan(link.TraceID, link.SpanID) })
			}
		}
	}
	return changes
}

func (r *ranks) rename(k, process key) { r.renamed.put(pair(k, process), struct{}{}) }

func (r *ranks) isRenamed(k, process key) bool { return r.renamed.has(pair(k, process)) }

// parentRenamed tells whether the parent of a span is one of its own process that has or will get a new id.
func (r *ranks) parentRenamed(s *otlp.Span, process key) bool {
	k := spanKey(s.TraceID, s.ParentID)
	if r.isRenamed(k, process) {
		return true
	}
	if !isLocal(s) {
		return false
	}
	o, known := r.owners.get(k)
	return known && o.process != process && r.twins.has(pairKey(o.process, process))
}

// isLocal tells whether a span's parent is known to be of the same process (opentelemetry/proto/trace/v1/trace.proto,
// SpanFlags).
func isLocal(s *otlp.Span) bool {
	const known, remote = 0x100, 0x200
	return s.ParentID != (otlp.SpanID{}) && s.Flags&known != 0 && s.Flags&remote == 0
}

// identity tells a process from others.
type identity struct {
	key  key
	text string
}

func identify(p *otlp.Process) identity {
	if p == nil {
		p = &otlp.Process{}
	}
	host := ""
	for _, f := range p.Attributes {
		if f.Key == "host.name" {
			host, _ = f.Value.(string)
		}
	}
	text := fmt.Sprintf("%q %q %q %q %q %d", p.Service, p.InstanceID, p.Kind, p.Name, host, p.PID)
	return identity{keyOf([]byte(text)), text}
}

// newSpan is the new id of a span: always the same for the same span of the same process.
func (id identity) newSpan(trace otlp.TraceID, span otlp.SpanID) (fresh otlp.SpanID) {
	hash := id.hash("span", trace, span)
	copy(fresh[:], hash[:])
	fresh[0] |= 1 // zero is no id
	return fresh
}

func (id identity) newTrace(trace otlp.TraceID, span otlp.SpanID) (fresh otlp.TraceID) {
	hash := id.hash("trace", trace, span)
	copy(fresh[:], hash[:])
	fresh[0] |= 1
	return fresh
}

func (id identity) hash(what string, trace otlp.TraceID, span otlp.SpanID) [sha256.Size]byte {
	b := append([]byte("forkspan "+what+" "), trace[:]...)
	b = append(b, span[:]...)
	return sha256.Sum256(append(b, id.text...))
}
