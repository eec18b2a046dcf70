package store

import (
	"encoding/binary"
	"errors"

	"forkspan.dev/forkspan/internal/otlp"
)

// The summary column holds, all numbers as varints (signed ones zigzag):
//
//	traces, base start,
//	16 bytes of id for each trace,
//	spans, start-base, end-start+1 (0 when no span has ended), errors, root (index into names, from 1; 0: none) for each trace,
//	processes, and for each: five strings (service, instance id, kind, name, run id), pid, spans,
//	names, and each name,
//
// where a string is its length and its bytes. The ids come first because most readers look for one of them.

// errSummary says that a summary column does not hold a summary.
var errSummary = errors.New("broken summary in the database")

func appendSummary(b []byte, s *otlp.Summary) []byte {
	b = binary.AppendUvarint(b, uint64(len(s.Traces)))
	var base int64
	if len(s.Traces) > 0 {
		base = s.Traces[0].Start
	}
	b = binary.AppendVarint(b, base)
	for i := range s.Traces {
		b = append(b, s.Traces[i].TraceID[:]...)
	}
	var names []string
	for i := range s.Traces {
		t := &s.Traces[i]
		b = binary.AppendUvarint(b, uint64(t.Spans))
		b = binary.AppendVarint(b, t.Start-base)
		b = binary.AppendUvarint(b, zigzagEnd(t.Start, t.End))
		b = binary.AppendUvarint(b, uint64(t.Errors))
		var root int
		root, names = nameIndex(names, t.Root)
		b = binary.AppendUvarint(b, uint64(root))
	}
	b = binary.AppendUvarint(b, uint64(len(s.Processes)))
	for i := range s.Processes {
		p := &s.Processes[i]
		for _, text := range [...]string{p.Service, p.InstanceID, p.Kind, p.Name, p.RunID} {
			b = appendString(b, text)
		}
		b = binary.AppendUvarint(b, uint64(p.PID))
		b = binary.AppendUvarint(b, uint64(p.Spans))
	}
	b = binary.AppendUvarint(b, uint64(len(names)))
	for _, name := range names {
		b = appendString(b, name)
	}
	return b
}

// zigzagEnd is the end as the summary holds it: 0 for none, else one more than the zigzag form of end-start.
func zigzagEnd(start, end int64) uint64 {
	if end == 0 {
		return 0
	}
	d := end - start
	return (uint64(d)<<1 ^ uint64(d>>63)) + 1
}

// nameIndex returns the place of name among names, from 1, and names with it. Requests have few distinct root names; beyond
// a few the search ends and the name is added again.
func nameIndex(names []string, name string) (int, []string) {
	if name == "" {
		return 0, names
	}
	for i := len(names) - 1; i >= max(0, len(names)-16); i-- {
		if names[i] == name {
			return i + 1, names
		}
	}
	return len(names) + 1, append(names, name)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// traceIDs returns the ids at the head of a summary, 16 bytes each.
func traceIDs(b []byte) ([]byte, error) {
	r := summaryReader{b: b}
	n := r.uvarint()
	r.varint()
	if r.broken || n > uint64(len(r.b))/16 {
		return nil, errSummary
	}
	return r.b[:n*16], nil
}

func decodeSummary(b []byte) (otlp.Summary, error) {
	var s otlp.Summary
	ids, err := traceIDs(b)
	if err != nil {
		return s, err
	}
	r := summaryReader{b: b}
	s.Traces = make([]otlp.TraceSummary, r.uvarint())
	base := r.varint()
	r.b = r.b[len(ids):]
	roots := make([]uint64, len(s.Traces))
	for i := range s.Traces {
		t := &s.Traces[i]
		t.TraceID = otlp.TraceID(ids[i*16:])
		t.Spans = int(r.uvarint())
		t.Start = base + r.varint()
		if u := r.uvarint(); u > 0 {
			u--
			t.End = t.Start + (int64(u>>1) ^ -int64(u&1))
		}
		t.Errors = int(r.uvarint())
		roots[i] = r.uvarint()
		s.Spans += t.Spans
	}
	for range r.count() {
		p := otlp.ProcessSummary{Service: r.string(), InstanceID: r.string(), Kind: r.string(), Name: r.string(), RunID: r.string()}
		p.PID, p.Spans = int(r.uvarint()), int(r.uvarint())
		s.Processes = append(s.Processes, p)
	}
	var names []string
	for range r.count() {
		names = append(names, r.string())
	}
	for i, root := range roots {
		if root > uint64(len(names)) {
			r.broken = true
		} else if root > 0 {
			s.Traces[i].Root = names[root-1]
		}
	}
	if r.broken {
		return otlp.Summary{}, errSummary
	}
	return s, nil
}

// summaryReader reads a summary. After broken is set it yields zeros.
type summaryReader struct {
	b      []byte
	broken bool
}

func (r *summaryReader) uvarint() uint64 {
	u, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.broken, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return u
}

func (r *summaryReader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// count reads the number of elements that follow; each takes at least a byte.
func (r *summaryReader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.broken = true
		return 0
	}
	return int(n)
}

func (r *summaryReader) string() string {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.broken, r.b = true, nil
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}
