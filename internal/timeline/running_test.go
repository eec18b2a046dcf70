package timeline

import (
	"testing"

	"forkspan.dev/forkspan/internal/otlp"
)

// The span of a command that runs lasts until now, and so do those of processes that are known to live; what else is
// unfinished may be dead.
func TestRunningCommand(t *testing.T) {
	process := &otlp.Process{Service: "sleep"}
	const start = int64(1_700_000_000e9)
	span := func(id byte, parent byte) otlp.Span {
		s := otlp.Span{TraceID: otlp.TraceID{15: 1}, SpanID: otlp.SpanID{7: id}, Name: "s", Start: start, Process: process}
		if parent != 0 {
			s.ParentID = otlp.SpanID{7: parent}
		}
		return s
	}
	spans := []otlp.Span{span(1, 0), span(2, 1)}
	opts := Options{AmbientParents: []otlp.SpanID{{7: 1}}, Start: start, All: true}
	for _, now := range []int64{0, start + 5e9} {
		opts.Now = now
		tl := Build(spans, opts)
		want := max(0, now-start)
		if got := tl.Rows[0]; got.Duration != want || !got.Unfinished {
			t.Errorf("the command: %d ns, want %d", got.Duration, want)
		}
		if got := tl.Rows[1].Duration; got != 0 {
			t.Errorf("the other: %d ns", got)
		}
		for _, ended := range []int64{0, start + 1} {
			opts.System = []OSProcess{{PID: 7, Ended: ended, Senders: []otlp.ProcessSummary{{Service: "sleep", PID: 0}}}}
			if ended != 0 {
				want = 0
			}
			if got := Build(spans, opts).Rows[1].Duration; got != want {
				t.Errorf("the other, whose process ended at %d: %d ns, want %d", ended, got, want)
			}
		}
		opts.System = nil
	}
}

// A span whose process was killed ends with it, although what that process started goes on.
func TestUnfinishedWhenItsProcessHasEnded(t *testing.T) {
	spans := parseSpans(t, `
		1 - Engine init 0 -
		2 1 Worker load 2 9
		3 1 Worker more 6 9`)
	second := func(n int64) int64 { return (epoch + n) * 1e9 }
	for ended, want := range map[int64]int64{0: second(9), second(5): second(5), second(20): second(9), second(-1): second(0)} {
		sender := otlp.ProcessSummary{Name: "Engine", PID: 100}
		system := []OSProcess{{PID: 100, Ended: ended, Senders: []otlp.ProcessSummary{sender}}}
		if got := Build(spans, Options{System: system}).Rows[0].End; got != want {
			t.Errorf("of a process that ended at %d the span ends at %d, want %d", ended, got, want)
		}
	}
}
