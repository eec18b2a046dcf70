package timeline

import (
	"slices"
	"testing"

	"forkspan.dev/forkspan/internal/otlp"
)

// What the Python module tells of a process, and what its SDK has sent while the journal was full, are in the lane of its SDK:
// one lane a process, also of a forked one.
func TestOneLaneAProcess(t *testing.T) {
	sdk := func(pid int, instance string) *otlp.Process {
		return &otlp.Process{Service: "app", InstanceID: instance, PID: pid,
			Attributes: []otlp.Field{{Key: "telemetry.sdk.name", Value: "opentelemetry"}}}
	}
	module := func(pid int) *otlp.Process { return &otlp.Process{Service: "python", PID: pid} }
	lanes := []*otlp.Process{module(7), sdk(0, "a"), sdk(7, "a"), module(8), sdk(8, "a"), sdk(8, "b")}
	var spans []otlp.Span
	for i, p := range lanes {
		s := otlp.Span{Process: p, Name: "span", TraceID: otlp.TraceID{1}, Start: int64(i+1) * 1e9, End: int64(i+2) * 1e9}
		s.SpanID[0] = byte(i + 1)
		spans = append(spans, s)
	}
	senders := func(of ...*otlp.Process) (list []otlp.ProcessSummary) {
		for _, p := range of {
			list = append(list, otlp.ProcessSummary{Service: p.Service, InstanceID: p.InstanceID, PID: p.PID})
		}
		return list
	}
	system := []OSProcess{{PID: 7, Senders: senders(lanes[:3]...)}, {PID: 8, Senders: senders(lanes[3:]...)}}

	labels := func(system []OSProcess) (list []string) {
		tl := Build(spans, Options{System: system})
		for i := range tl.Rows {
			list = append(list, tl.Processes[tl.Rows[i].Process].Label)
		}
		return list
	}
	want := []string{"app[7]", "app[7]", "app[7]", "app[8]", "app[8]", "app[8]"}
	if got := labels(system); !slices.Equal(got, want) {
		t.Errorf("the spans' lanes are %q, want %q", got, want)
	}
	want = []string{"python[7]", "app", "app[7]", "python[8]", "app[8]", "app[8]#2"}
	if got := labels(nil); !slices.Equal(got, want) {
		t.Errorf("the spans' lanes, when nothing is known of processes, are %q, want %q", got, want)
	}
}
