package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/forward"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/internal/supervise"
)

func TestAccountLine(t *testing.T) {
	tests := []struct {
		name    string
		account store.Account
		backend *forward.Backend
		sent    forward.Stats
		want    string
	}{
		{
			"nothing sent", store.Account{Spans: 1, Traces: 1}, nil, forward.Stats{},
			"forkspan: make exited 0 - run 0123456789 - no process sent spans - 0 dropped",
		},
		{
			"dropped for reasons",
			store.Account{Spans: 12345, Traces: 2, Processes: 3, Dropped: map[string]int64{"malformed": 2, "a": 1}}, nil,
			forward.Stats{},
			"forkspan: make exited 0 - run 0123456789 - 3 processes - 12,345 spans, 2 traces, 3 dropped (a 1, malformed 2)",
		},
		{
			"partly passed on", store.Account{Spans: 9, Traces: 1, Processes: 1}, &forward.Backend{Address: "passthrough:///c:4317"},
			forward.Stats{Sent: 4, Dead: 2, Rejected: 1, Waiting: 2, Reason: "status 401\nsecond line"},
			"forkspan: make exited 0 - run 0123456789 - 1 process - 9 spans, 1 trace, 0 dropped - 4 passed on to c:4317" +
				" - 3 refused by c:4317 (status 401 second line) - 2 spans wait for c:4317: forkspan forward sends them",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := &app{Streams: Streams{Stderr: new(bytes.Buffer), Env: func(string) string { return "" }}}
			s := &session{app: a, name: "make", runID: "0123456789"}
			r := &localRun{session: s, counts: newRunCounts()}
			r.onward.backend = tt.backend
			r.record.Account = tt.account
			r.counts.forwarded(tt.sent)
			if got := r.accountLine("exited 0"); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Each span is counted once: a beginning is not, processes are told apart by all of their identity.
func TestRunCounts(t *testing.T) {
	c := newRunCounts()
	trace := func(id byte, spans int, end int64) otlp.TraceSummary {
		return otlp.TraceSummary{TraceID: otlp.TraceID{15: id}, Spans: spans, End: end}
	}
	c.add(otlp.Summary{Traces: []otlp.TraceSummary{trace(1, 1, 0)}})
	c.add(otlp.Summary{
		Traces:    []otlp.TraceSummary{trace(1, 3, 9), trace(2, 2, 9)},
		Processes: []otlp.ProcessSummary{{Service: "a", PID: 1, Spans: 3}, {Service: "a", PID: 2, Spans: 2}},
	})
	c.add(otlp.Summary{Processes: []otlp.ProcessSummary{{Service: "a", PID: 1, Spans: 7}}})
	c.addOwn(otlp.Summary{Traces: []otlp.TraceSummary{trace(1, 1, 9)}, Processes: []otlp.ProcessSummary{{Service: "own"}}})
	c.drop("malformed", 0)
	c.drop("malformed", 2)
	got := c.account()
	if got.Spans != 6 || got.Traces != 2 || got.Processes != 2 || len(got.Dropped) != 1 || got.Dropped["malformed"] != 2 {
		t.Errorf("got %+v", got)
	}
}

func TestDescendantsInWords(t *testing.T) {
	var list []supervise.Descendant
	for pid := range 10 {
		list = append(list, supervise.Descendant{PID: pid + 1, Name: "sh"})
	}
	got := descendants(list, nil)
	if !strings.HasPrefix(got, "sh (pid 1), sh (pid 2), ") || !strings.HasSuffix(got, ", sh (pid 8), and 2 more") {
		t.Errorf("got %q", got)
	}
}

func TestSettleTime(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": 750 * time.Millisecond, "100": 350 * time.Millisecond, "60000": 5250 * time.Millisecond,
		"soon": 750 * time.Millisecond, "-1": 750 * time.Millisecond,
	} {
		s := &session{lookup: environ.Lookup([]string{"OTEL_BSP_SCHEDULE_DELAY=" + value})}
		if got := s.settleTime(); got != want {
			t.Errorf("delay %q: %v, want %v", value, got, want)
		}
	}
}

func TestDrainTime(t *testing.T) {
	ci := func(name string) string { return map[string]string{"CI": "true"}[name] }
	none := func(string) string { return "" }
	if os.Getpid() == 1 {
		none = ci
	}
	for _, tt := range []struct {
		flag time.Duration
		env  func(string) string
		want time.Duration
	}{{-1, ci, 10 * time.Second}, {0, ci, 0}, {time.Minute, none, time.Minute}} {
		f := runFlags{drain: tt.flag}
		if got := f.drainTime(tt.env); got != tt.want {
			t.Errorf("--drain %v: %v, want %v", tt.flag, got, tt.want)
		}
	}
}

// Only a finished span makes a server ready.
func TestHasEnded(t *testing.T) {
	span := func(name string, end int64) []byte {
		return commandspan.Encode(nil, "", commandspan.Span{
			TraceID: otlp.TraceID{1}, SpanID: otlp.SpanID{1}, Name: name, Start: 1, End: end,
		})
	}
	for _, tt := range []struct {
		body []byte
		want bool
	}{{span("up", 2), true}, {span("up", 0), false}, {span("upper", 2), false}, {[]byte("up"), false}, {nil, false}} {
		if got := hasEnded(tt.body, "up"); got != tt.want {
			t.Errorf("%q: %v", tt.body, got)
		}
	}
}

// A store that has failed gets to know how the run ended, once there is room for it.
func TestFailedStoreLearnsTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forkspan.db")
	r := &localRun{record: store.Run{ID: store.NewRunID(), Kind: "run", Start: time.Unix(0, 1)}}
	for _, path := range []string{path, store.Memory} {
		st, err := store.Open(t.Context(), path, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if err := st.PutRun(t.Context(), r.record); err != nil {
			t.Fatal(err)
		}
		r.stores = append(r.stores, st)
	}
	r.record.End, r.record.Exit = time.Unix(0, 9), &store.Exit{Code: 3}
	r.save()
	r.saveToFailed()
	for _, st := range r.stores {
		if got, err := st.FindRun(t.Context(), r.record.ID); err != nil || got.Exit == nil || got.Exit.Code != 3 {
			t.Errorf("%s: %+v, %v", st.Path(), got, err)
		}
	}
}

// Without a port the command runs as it would without us: only its parent is told.
func TestWithoutPort(t *testing.T) {
	if _, err := listenLoopback("192.0.2.1:0", "no address"); err == nil {
		t.Error("listening where there is no address is no error")
	}
	var stderr bytes.Buffer
	s := &session{
		app:  &app{Streams: Streams{Stderr: &stderr, Env: func(string) string { return "" }}},
		argv: []string{"vllm", "serve", "{forkspan.endpoint}"},
	}
	s.setEnvironment([]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://collector:4317"})
	s.rec = &localRun{session: s}
	s.extendArguments()
	if len(s.argv) != 3 || stderr.Len() > 0 {
		t.Errorf("arguments %q, note %q", s.argv, &stderr)
	}
	if got := s.address(); got != "127.0.0.1:9" {
		t.Errorf("placeholder %q", got)
	}
	lookup := environ.Lookup(s.environment())
	if got, _ := lookup("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"); got != "http://collector:4317" {
		t.Errorf("endpoint %q", got)
	}
	if got, _ := lookup("traceparent"); got == "" {
		t.Error("no parent")
	}
}
