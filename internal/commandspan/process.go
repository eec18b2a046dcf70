package commandspan

import (
	"crypto/sha256"
	"encoding/binary"
	"syscall"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/proctree"
	"forkspan.dev/forkspan/internal/supervise"
)

// Processes returns a span for each process of a run but the root, which is the command and has a span already. They hang below
// the span of the process that started them, the root's children and those of no known parent below the command's. Nothing else
// is ever put below them. Their ids follow from the run's and the process's, so that exporting twice gives the same spans. The
// tree is ordered by start, the root first; its arguments are scrubbed. A process without an end is an unfinished span.
func Processes(runID string, trace otlp.TraceID, command otlp.SpanID, tree []proctree.Process) []Span {
	if len(tree) < 2 {
		return nil
	}
	ids := make(map[proctree.ID]otlp.SpanID, len(tree))
	ids[tree[0].ID] = command
	for i := range tree[1:] {
		ids[tree[1+i].ID] = processSpanID(runID, tree[1+i].ID)
	}
	spans := make([]Span, 0, len(tree)-1)
	for i := range tree[1:] {
		p := &tree[1+i]
		parent, ok := ids[p.Parent]
		if !ok {
			parent = command
		}
		s := Span{
			TraceID: trace, SpanID: ids[p.ID], ParentID: parent, Sampled: true, Name: processName(p),
			Start: unixNano(p.Started), End: unixNano(p.Ended), Attributes: processFields(p),
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

// processName is the program as it was called, else as the kernel has it.
func processName(p *proctree.Process) string {
	switch {
	case len(p.Args) > 0 && p.Args[0] != "":
		return BaseName(p.Args[0])
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
