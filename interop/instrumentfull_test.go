package interop

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"testing"

	"forkspan.dev/forkspan/forkspantest"
)

// asMany is how many spans full.py makes at a time.
const asMany = 150

// full is a process that has made more spans than its journal has room for.
type full struct {
	t     *testing.T
	stdin io.WriteCloser
	lines *bufio.Scanner
	wait  func() error
}

func startFull(t *testing.T, i instrumented, version, how string) *full {
	t.Helper()
	cmd := i.command(version, "full.py", how)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &full{t, stdin, bufio.NewScanner(stdout), cmd.Wait}
}

// more has it make more spans, which its exporter has sent or the journal has when it returns.
func (f *full) more() {
	f.t.Helper()
	if _, err := io.WriteString(f.stdin, "more\n"); err != nil {
		f.t.Fatal(err)
	}
	if !f.lines.Scan() {
		f.t.Fatal("full.py has ended:", f.lines.Err())
	}
}

func (f *full) end() {
	f.t.Helper()
	f.stdin.Close()
	if err := f.wait(); err != nil {
		f.t.Error(err)
	}
}

// Spans that a journal has no room for are exported: each span is in one place, and in one only.
func TestInstrumentFull(t *testing.T) {
	for _, version := range pythons {
		for _, how := range []string{"disk", "cap"} {
			t.Run(version+"/"+how, func(t *testing.T) {
				t.Parallel()
				collector := forkspantest.NewCollector(t)
				endpoint := collector.TracesEndpoint()
				i := instrument(t, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="+endpoint, "FORKSPAN_RUN_ENDPOINT="+endpoint)
				f := startFull(t, i, version, how)
				f.more()
				f.end()
				kept := names(i.read().finished)
				checkFull(t, kept, names(collector.Spans()), asMany)
			})
		}
	}
}

// checkFull checks that each of n spans is either kept or exported, and that there are some of both.
func checkFull(t *testing.T, kept, exported []string, n int) {
	t.Helper()
	if len(kept) == 0 || len(exported) == 0 {
		t.Errorf("%d spans in the journal, %d exported, want some of both", len(kept), len(exported))
	}
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("span %d", i+1))
	}
	slices.Sort(want)
	if got := slices.Sorted(slices.Values(slices.Concat(kept, exported))); !slices.Equal(got, want) {
		t.Errorf("spans in the journal %q, exported %q", kept, exported)
	}
}

// A process whose journal has been at its limit writes to it again once the reader has come that far.
func TestInstrumentFullAndRead(t *testing.T) {
	for _, version := range pythons {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			collector := forkspantest.NewCollector(t)
			endpoint := collector.TracesEndpoint()
			i := instrument(t, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="+endpoint, "FORKSPAN_RUN_ENDPOINT="+endpoint)
			f := startFull(t, i, version, "cap")
			var kept []string
			for round := range 3 {
				f.more()
				if round == 2 {
					f.end()
				}
				more := i.poll()
				if len(more) == 0 {
					t.Errorf("nothing got into the journal in round %d", round)
				}
				kept = append(kept, more...)
			}
			checkFull(t, kept, names(collector.Spans()), 3*asMany)
		})
	}
}

// poll takes what has come to the journals since the last time, and returns the names of the program's spans that have ended.
func (i instrumented) poll() []string {
	i.t.Helper()
	added, err := i.tail.Poll()
	if err != nil {
		i.t.Fatal(err)
	}
	var list []string
	for _, j := range added {
		spans, _ := decode(i.t, j.Requests())
		list = append(list, names(spans)...)
	}
	if err := i.tail.Consume(); err != nil {
		i.t.Fatal(err)
	}
	return list
}
