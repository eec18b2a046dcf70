package commandspan

import (
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/proctree"
)

// TestProcesses wants a span a process, below the one of who started it.
func TestProcesses(t *testing.T) {
	start := time.Unix(100, 0)
	root, child := proctree.ID{PID: 9, Start: 1}, proctree.ID{PID: 10, Start: 2}
	tree := []proctree.Process{
		{ID: root, Program: "make", Started: start},
		{ID: child, Parent: root, Program: "sh", Args: []string{"/bin/sh", "-c", "x"}, Started: start, Ended: start.Add(time.Second), Exited: true, Code: 3},
		{ID: proctree.ID{PID: 9, Start: 7}, Parent: child, Program: "cc1", Started: start, Ended: start, Exited: true, Code: -1, Signal: 9, OOMKilled: true},
		{ID: proctree.ID{PID: 12, Start: 7}, Parent: proctree.ID{PID: 99}, Started: start},
	}
	trace, command := otlp.TraceID{1}, otlp.SpanID{2}
	spans := Processes("R", trace, command, tree)
	if len(spans) != 3 {
		t.Fatalf("%d spans", len(spans))
	}
	sh, cc1, lost := spans[0], spans[1], spans[2]
	if sh.ParentID != command || cc1.ParentID != sh.SpanID || lost.ParentID != command {
		t.Errorf("parents %x, %x, %x", sh.ParentID, cc1.ParentID, lost.ParentID)
	}
	if sh.Name != "sh" || cc1.Name != "cc1" || lost.Name != "process" {
		t.Errorf("names %q, %q, %q", sh.Name, cc1.Name, lost.Name)
	}
	if sh.TraceID != trace || sh.Start != start.UnixNano() || sh.End-sh.Start != 1e9 || lost.End != 0 {
		t.Errorf("%+v, %+v", sh, lost)
	}
	if !sh.Failed || sh.Message != "exited 3" || cc1.Message != "killed for want of memory" || lost.Failed {
		t.Errorf("%q, %q, %v", sh.Message, cc1.Message, lost.Failed)
	}
	again, other := Processes("R", trace, command, tree), Processes("Q", trace, command, tree)
	if again[1].SpanID != cc1.SpanID || other[1].SpanID == cc1.SpanID || cc1.SpanID == lost.SpanID {
		t.Error("ids do not follow from run and process")
	}
	if len(Processes("R", trace, command, tree[:1]))+len(Processes("R", trace, command, nil)) != 0 {
		t.Error("the command has two spans")
	}
	values := map[string]any{}
	for _, f := range sh.Attributes {
		values[f.Key] = f.Value
	}
	if values["process.pid"] != int64(10) || values["process.parent_pid"] != int64(9) || values["process.exit.code"] != int64(3) {
		t.Errorf("%v", values)
	}
	if body := Encode(nil, "v", spans...); len(body) == 0 {
		t.Error("cannot be encoded")
	}
}
