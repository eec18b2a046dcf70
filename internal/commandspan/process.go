package commandspan

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"syscall"
	"time"

	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/lineage"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/proctree"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/internal/supervise"
)

// Tree makes spans of the processes of a run, where somebody asks for them.
type Tree struct {
	run     string
	command otlp.Span // the command's: its ids, and what it has of resource and scope
	seen    bool
}

// NewTree is for a run whose command has the span with the given ids.
func NewTree(run, name string, trace otlp.TraceID, command otlp.SpanID) *Tree {
	resource := []otlp.Field{
		{Key: "service.name", Value: name}, {Key: sdkNameKey, Value: sdkName}, {Key: environ.RunAttribute, Value: run},
	}
	return &Tree{run: run, command: otlp.Span{
		TraceID: trace, SpanID: command, Flags: flagSampled, Process: &otlp.Process{Attributes: resource}, Scope: &otlp.Scope{},
	}}
}

// See takes a request of the run and tells whether it needs no more of them: from the one that has the command's span come the
// resource, the tracestate and the sampling of the others.
func (t *Tree) See(body []byte) (enough bool) {
	if t.seen || !bytes.Contains(body, []byte(scopeName)) {
		return t.seen
	}
	spans, err := otlp.Decode(body)
	if err != nil {
		return false
	}
	for i := range spans {
		s := &spans[i]
		if s.TraceID == t.command.TraceID && s.SpanID == t.command.SpanID && FromForkspan(s.Process) {
			t.command, t.seen = *s, true
			break
		}
	}
	return t.seen
}

// requestSpans bounds the spans of a request.
const requestSpans = 512

// Requests returns requests with a span for each process but the root, which is the command and has a span already. They hang
// below the span of the process that started them, the root's children and those of no known parent below the command's. Nothing
// else is ever put below them. Their ids follow from the run's and the process's, so that those who ask twice get the same spans.
// The tree is ordered by start, the root first; its arguments are scrubbed. A process without an end is an unfinished span.
// Copies that nobody would call processes, see [lineage.Fleeting], are left out.
func (t *Tree) Requests(tree []store.Process) (bodies [][]byte) {
	for some := range slices.Chunk(t.spans(tree), requestSpans) {
		bodies = append(bodies, encode(t.command.Process.Attributes, processScopeName, t.command.Scope.Version, some))
	}
	return bodies
}

func (t *Tree) spans(tree []store.Process) []Span {
	if len(tree) < 2 {
		return nil
	}
	ids := make(map[proctree.ID]otlp.SpanID, len(tree))
	ids[tree[0].ID] = t.command.SpanID
	for i := range tree[1:] {
		ids[tree[1+i].ID] = processSpanID(t.run, tree[1+i].ID)
	}
	state := t.command.TraceState()
	fleeting := lineage.Fleeting(tree)
	spans := make([]Span, 0, len(tree)-1)
	for i := range tree[1:] {
		if fleeting[1+i] {
			continue
		}
		p := &tree[1+i].Process
		parent, ok := ids[p.Parent]
		if !ok {
			parent = t.command.SpanID
		}
		s := Span{
			TraceID: t.command.TraceID, SpanID: ids[p.ID], ParentID: parent, TraceState: state,
			Sampled: t.command.Flags&flagSampled != 0, Name: processName(p),
			Start: unixNano(p.Started), End: unixNano(p.Ended), Attributes: processFields(p),
		}
		if s.End != 0 {
			s.End = max(s.End, s.Start) // they are exact to different clocks
		}
		if p.Exited && (p.Code != 0 || p.Signal != 0) {
			s.Failed, s.Message = true, processFailure(p)
		}
		spans = append(spans, s)
	}
	return spans
}

func processSpanID(runID string, id proctree.ID) (span otlp.SpanID) {
	key := append([]byte("process span "+runID+" "), 0)
	key = binary.BigEndian.AppendUint64(key, uint64(id.PID))
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(key, id.Start))
	copy(span[:], sum[:])
	return span
}

// longestName bounds a span's name, in bytes. Programs write what they like over their arguments.
const longestName = 128

// processName is the program as it was called, else as the kernel has it.
func processName(p *proctree.Process) string {
	switch {
	case len(p.Args) > 0 && p.Args[0] != "":
		return cutText(BaseName(p.Args[0]), longestName)
	case p.Program != "":
		return p.Program
	}
	return "process"
}

func processFailure(p *proctree.Process) string {
	if p.OOMKilled {
		return "killed for want of memory"
	}
	return How(outcomeOf(p))
}

// processFields are OpenTelemetry's process attributes, and ours for what it has no name for.
func processFields(p *proctree.Process) []otlp.Field {
	fields := []otlp.Field{{Key: "process.pid", Value: int64(p.PID)}}
	if p.Parent.PID != 0 {
		fields = append(fields, otlp.Field{Key: "process.parent_pid", Value: int64(p.Parent.PID)})
	}
	fields = append(fields, otlp.Field{Key: "process.executable.name", Value: processName(p)})
	if len(p.Args) > 0 {
		args := make([]any, len(p.Args))
		for i, arg := range p.Args {
			args[i] = arg
		}
		fields = append(fields, otlp.Field{Key: "process.command_args", Value: args})
	}
	if p.Exited {
		fields = append(fields, Ended(outcomeOf(p))...)
	} else {
		fields = append(fields, usage(outcomeOf(p))...)
	}
	if p.OOMKilled {
		fields = append(fields, otlp.Field{Key: "forkspan.exit.out_of_memory", Value: true})
	}
	return fields
}

func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func outcomeOf(p *proctree.Process) supervise.Outcome {
	return supervise.Outcome{Code: p.Code, Signal: syscall.Signal(p.Signal), User: p.User, System: p.System, MaxRSS: p.MaxRSS}
}
