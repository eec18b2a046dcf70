package commandspan

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/proctree"
	"forkspan.dev/forkspan/internal/store"
)

// watched are processes of which nothing was heard.
func watched(processes ...proctree.Process) (tree []store.Process) {
	for i := range processes {
		tree = append(tree, store.Process{Process: processes[i]})
	}
	return tree
}

// TestProcesses wants a span a process, below the one of who started it.
func TestProcesses(t *testing.T) {
	start := time.Unix(100, 0)
	root, child := proctree.ID{PID: 9, Start: 1}, proctree.ID{PID: 10, Start: 2}
	tree := watched(
		proctree.Process{ID: root, Program: "make", Started: start},
		proctree.Process{ID: child, Parent: root, Program: "sh", Args: []string{"/bin/sh", "-c", "x"}, Started: start, Ended: start.Add(time.Second), Exited: true, Code: 3},
		proctree.Process{ID: proctree.ID{PID: 9, Start: 7}, Parent: child, Program: "cc1", Started: start, Ended: start, Exited: true, Code: -1, Signal: 9, OOMKilled: true},
		proctree.Process{ID: proctree.ID{PID: 12, Start: 7}, Parent: proctree.ID{PID: 99}, Started: start},
		// A copy of the shell, gone at once.
		proctree.Process{ID: proctree.ID{PID: 13, Start: 8}, Parent: child, Program: "sh", Args: []string{"/bin/sh", "-c", "x"}, Started: start, Ended: start, Exited: true},
	)
	trace, command := otlp.TraceID{1}, otlp.SpanID{2}
	whole := NewTree("R", "make", trace, command)
	spans := whole.spans(tree)
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
	again, other := NewTree("R", "make", trace, command).spans(tree), NewTree("Q", "make", trace, command).spans(tree)
	if again[1].SpanID != cc1.SpanID || other[1].SpanID == cc1.SpanID || cc1.SpanID == lost.SpanID {
		t.Error("ids do not follow from run and process")
	}
	if len(whole.Requests(tree[:1]))+len(whole.Requests(nil)) != 0 {
		t.Error("the command has two spans")
	}
	values := map[string]any{}
	for _, f := range sh.Attributes {
		values[f.Key] = f.Value
	}
	if values["process.pid"] != int64(10) || values["process.parent_pid"] != int64(9) || values["process.exit.code"] != int64(3) {
		t.Errorf("%v", values)
	}
}

// TestTreeRequests wants requests of bounded size, each with what the command's own span has of resource and scope.
func TestTreeRequests(t *testing.T) {
	trace, command := otlp.TraceID{1}, otlp.SpanID{2}
	var tree []store.Process
	for i := range 2*requestSpans + 2 {
		tree = append(tree, watched(proctree.Process{
			ID: proctree.ID{PID: 1 + i}, Args: []string{"sh", "--password=hunter2", "long\x1b[31m"}, Started: time.Unix(1, 0), Ended: time.Unix(0, 1),
		})...)
	}
	tree[0].Args, tree[1].Args = nil, []string{strings.Repeat("x", 1<<16)}
	of := NewTree("R", "make", trace, command)
	resource := Resource(environ.Lookup([]string{"OTEL_RESOURCE_ATTRIBUTES=team=a"}), "make", "R")
	foreign := Encode([]otlp.Field{{Key: "service.name", Value: "x"}}, "v0", Span{TraceID: trace, SpanID: command})
	own := Encode(resource, "v1", Span{TraceID: trace, SpanID: command, TraceState: "a=1", Sampled: true, Start: 1})
	if of.See([]byte("?")) || of.See(foreign) || !of.See(own) || OfProcesses(own) {
		t.Error("the command's span is not known")
	}
	bodies, n := of.Requests(tree), 0
	for i, body := range bodies {
		spans, err := otlp.Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		for j := range spans {
			s := &spans[j]
			if s.ParentID != command || s.TraceState() != "a=1" || s.Flags&flagSampled == 0 || s.Scope.Version != "v1" || s.End != s.Start ||
				s.Process.Attributes[0].Value != "a" || len(s.Name) > longestName+len("…") {
				t.Fatalf("request %d, span %d: name %.80q, %d to %d, below %x, version %q", i, j, s.Name, s.Start, s.End, s.ParentID, s.Scope.Version)
			}
		}
		if !OfProcesses(body) || OfProcesses(append(body[:len(body):len(body)], own...)) || bytes.Contains(body, []byte("hunter2")) {
			t.Errorf("request %d", i)
		}
		n += len(spans)
	}
	if n != len(tree)-1 || len(bodies) != 3 {
		t.Errorf("%d spans in %d requests", n, len(bodies))
	}
}
