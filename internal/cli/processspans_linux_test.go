package cli

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"forkspan.dev/forkspan/forkspantest"
)

// kin is a process of a test with two below it: one that fails, and one that is killed and whose arguments hold a secret.
const kin = `sh -c 'read -r _; exit 3' </dev/null; sh -c 'kill -9 $$' --password hunter2 & wait; :`

// processSpans returns the spans that a backend got of processes, by name.
func processSpans(t *testing.T, c *forkspantest.Collector, want int) []forkspantest.Span {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	spans, err := c.WaitSpans(ctx, want)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(slices.Clone(spans), func(s forkspantest.Span) bool {
		_, pid := s.Attribute("process.pid")
		_, dir := s.Attribute("process.working_directory") // the command's
		return !pid || dir
	})
}

// TestForwardProcesses wants each process of a run sent once, with its times, parent, end and arguments.
func TestForwardProcesses(t *testing.T) {
	c := forkspantest.NewCollector(t)
	// The one that is killed has been seen before.
	const script = `sh -c 'exit 3'; sh -c 'until forkspan show --processes --json | grep -q "rank-7"; do :; done; kill -9 $$' "rank-$((3+4))" --password hunter2; :`
	r := watch(t, "--forward", c.Endpoint(), "--forward-processes", "--drain", "1m", "--", "sh", "-c", script)
	spans := processSpans(t, c, 3)
	ids := map[string]bool{}
	for _, s := range c.Spans() {
		ids[string(s.GetSpanId())] = true
	}
	if len(spans) < 3 || len(c.Spans()) != len(spans)+1 || len(ids) != len(spans)+1 {
		t.Fatalf("%d spans of processes\n%s\n%s", len(spans), c.Tree(), r.stderr)
	}
	command, ok := c.Find("sh")
	if !ok {
		t.Fatal(c.Tree())
	}
	messages := map[string]bool{}
	for _, s := range spans {
		messages[s.GetStatus().GetMessage()] = true
		if !ids[string(s.GetParentSpanId())] {
			t.Errorf("%s is below nothing", s.GetName())
		}
		if m := s.GetStatus().GetMessage(); m != "exited 3" && m != "was ended by SIGKILL" {
			continue // one of those that look
		}
		if string(s.GetParentSpanId()) != string(command.GetSpanId()) || string(s.GetTraceId()) != string(command.GetTraceId()) {
			t.Errorf("%s is not below the command's", s.GetName())
		}
		if s.GetStartTimeUnixNano() < command.GetStartTimeUnixNano()-1e7 || s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() ||
			s.GetEndTimeUnixNano() > command.GetEndTimeUnixNano() {
			t.Errorf("%s, %s lies not within the command", s.GetName(), s.GetStatus().GetMessage())
		}
		if service, _ := s.ResourceAttribute("service.name"); service != "sh" {
			t.Errorf("service %v", service)
		}
		if args, _ := s.Attribute("process.command_args"); s.GetStatus().GetMessage() == "was ended by SIGKILL" {
			if list, ok := args.([]any); !ok || list[len(list)-1] != "[redacted]" {
				t.Errorf("arguments %v", args)
			}
		}
	}
	if !messages["exited 3"] || !messages["was ended by SIGKILL"] {
		t.Errorf("ends: %v", messages)
	}
}

// TestForwardProcessesOfKilled wants them sent later by another forkspan, once, though all else had been sent when forkspan was
// killed.
func TestForwardProcessesOfKilled(t *testing.T) {
	c := forkspantest.NewCollector(t)
	const script = `sh -c 'until forkspan show --processes --json | grep -q inner; do :; done; :' inner; kill -9 $PPID; :`
	r := watch(t, "--forward", c.Endpoint(), "--forward-processes", "--", "sh", "-c", script)
	before := len(c.Spans())
	for range 2 {
		r.forkspan("forward")
	}
	spans := processSpans(t, c, 1)
	names := map[string]int{}
	for _, s := range spans {
		names[s.GetName()+" "+string(s.GetSpanId())]++
	}
	if len(spans) == 0 || len(names) != len(spans) || before != 0 {
		t.Errorf("%d spans before, then %v", before, names)
	}
}

// TestForwardProcessesLater wants them sent by another forkspan where the backend was down.
func TestForwardProcessesLater(t *testing.T) {
	c := forkspantest.NewCollector(t)
	c.AnswerAll(forkspantest.Answer{Status: 503})
	r := watch(t, "--forward", c.Endpoint(), "--forward-processes", "--drain", "0s", "--", "sh", "-c", kin)
	// The spans of the processes may be among them already.
	if !regexp.MustCompile(`wait for .*: forkspan forward sends them|waits for .*: forkspan forward sends it`).MatchString(r.stderr) {
		t.Errorf("it is not said that something waits:\n%s", r.stderr)
	}
	c.AnswerAll(forkspantest.Answer{})
	for range 2 {
		r.forkspan("forward")
	}
	if spans := processSpans(t, c, 3); len(spans) != 2 || len(c.Spans()) != 3 {
		t.Errorf("%s\n%s", c.Tree(), r.stderr)
	}
}

// TestExportProcesses wants the spans of processes in files where they are asked for, and read back as the processes they are.
func TestExportProcesses(t *testing.T) {
	r := watch(t, "-o", "run.jsonl", "--output-processes", "--", "sh", "-c", kin)
	plain := r.forkspan("export")
	with := r.forkspan("export", "--processes")
	again := r.forkspan("export", "--processes", "run.jsonl")
	if n := strings.Count(with, `"forkspan.dev/forkspan/process"`); n != 1 || strings.Count(with, "was ended by SIGKILL") != 1 ||
		strings.Contains(with, "hunter2") {
		t.Errorf("%d requests:\n%s", n, with)
	}
	if !strings.HasPrefix(with, plain) || with != again || strings.Contains(plain, "forkspan.dev/forkspan/process") {
		t.Error("the files are not the same but for the spans of processes")
	}
	if out := r.forkspan("export", "run.jsonl"); out != plain {
		t.Errorf("the file without them:\n%s\nwant\n%s", out, plain)
	}
	shown := r.forkspan("show", "--json")
	if out := r.forkspan("show", "--json", "run.jsonl"); strings.Count(out, `"spanId"`) != strings.Count(shown, `"spanId"`) {
		t.Errorf("shown of the file:\n%s\nof the run:\n%s", out, shown)
	}
	r.forkspan("--db", "other.db", "import", "run.jsonl")
	if out := r.forkspan("--db", "other.db", "show", "--json"); out != shown {
		t.Errorf("imported:\n%s\nwant\n%s", out, shown)
	}
}
