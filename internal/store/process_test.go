package store

import (
	"reflect"
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/proctree"
)

func TestProcessesOfARun(t *testing.T) {
	st, err := Open(t.Context(), Memory, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	early := Process{
		Process: proctree.Process{
			ID: proctree.ID{PID: 9, Start: 100}, Program: "worker", Args: []string{"worker", "--rank=0"},
			Started: time.Unix(5, 7).UTC(), Exited: true, Code: -1, Signal: 9,
		},
		FirstSpan: time.Unix(6, 0).UTC(), Spans: 3, Senders: []otlp.ProcessSummary{{Service: "worker", PID: 9}},
	}
	late := Process{Process: proctree.Process{ID: proctree.ID{PID: 2, Start: 200}, Parent: early.ID}, Silent: true}
	if err := st.PutProcesses(t.Context(), "R", []Process{late, {Process: proctree.Process{ID: early.ID}}}); err != nil {
		t.Fatal(err)
	}
	if err := st.PutProcesses(t.Context(), "R", []Process{early}); err != nil {
		t.Fatal(err)
	}
	got, err := st.Tree(t.Context(), "R")
	if err != nil || !reflect.DeepEqual(got, []Process{early, late}) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := st.Remove(t.Context(), "R"); err != nil {
		t.Fatal(err)
	}
	if got, err := st.Tree(t.Context(), "R"); err != nil || len(got) != 0 {
		t.Errorf("after removal: %+v, %v", got, err)
	}
}

// TestPutTree wants the run and its processes as they are now, nothing of what was said before.
func TestPutTree(t *testing.T) {
	st, err := Open(t.Context(), Memory, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	process := func(pid, start, parent int) Process {
		return Process{Process: proctree.Process{
			ID: proctree.ID{PID: pid, Start: uint64(start)}, Parent: proctree.ID{PID: parent}, Program: "p",
		}}
	}
	if err := st.PutProcesses(t.Context(), "R", []Process{process(9, 0, 0), process(3, 5, 9)}); err != nil {
		t.Fatal(err)
	}
	other := []Process{process(1, 1, 0)}
	if err := st.PutTree(t.Context(), Run{ID: "Q", Kind: "run"}, other); err != nil {
		t.Fatal(err)
	}
	want := []Process{process(9, 5, 0), process(3, 5, 9), process(4, 6, 9)}
	if err := st.PutTree(t.Context(), Run{ID: "R", Kind: "run", Name: "r"}, want); err != nil {
		t.Fatal(err)
	}
	if got, err := st.Tree(t.Context(), "R"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n%+v\nwant\n%+v", err, got, want)
	}
	if got, err := st.Tree(t.Context(), "Q"); err != nil || !reflect.DeepEqual(got, other) {
		t.Errorf("%v, %+v", err, got)
	}
	if run, err := st.FindRun(t.Context(), "R"); err != nil || run.Name != "r" {
		t.Errorf("%v, %+v", err, run)
	}
}

// The root comes first where a coarse clock has it start with, or after, its child.
func TestByStart(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	root := Process{Process: proctree.Process{ID: proctree.ID{PID: 20, Start: 5}, Started: at.Add(time.Millisecond)}}
	child := Process{Process: proctree.Process{ID: proctree.ID{PID: 7, Start: 5}, Parent: root.ID, Started: at}}
	if ByStart(root, child) >= 0 || ByStart(child, root) <= 0 {
		t.Error("a child is the first of the tree")
	}
}
