package interop

import (
	"bufio"
	"encoding/hex"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/internal/pyinstrument"
	"forkspan.dev/forkspan/journal"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// instrumentScope is the scope of the module's own spans.
const instrumentScope = "forkspan.python"

// instrumented is a folder of journals that processes with the Python module write to.
type instrumented struct {
	t    *testing.T
	dir  string
	tail *journal.Tail // the folder's reader
	env  []string

	strange bool // Python or its packages have been changed
}

// instrument begins a folder of journals, which has a reader as `forkspan run` would be.
func instrument(t *testing.T, vars ...string) instrumented {
	t.Helper()
	module, err := pyinstrument.Install(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	tail, err := journal.OpenTail(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := tail.Close(false); err != nil {
			t.Error(err)
		}
	})
	vars = append([]string{"FORKSPAN_JOURNAL=" + dir, "PYTHONPATH=" + module}, vars...)
	return instrumented{t: t, dir: dir, tail: tail, env: environment(vars...)}
}

// command returns a command with a Python script of these tests, of an environment with some version of OpenTelemetry.
func (i instrumented) command(version, script string, args ...string) *exec.Cmd {
	argv := python(version, filepath.Join("instrument", script), args...)
	cmd := exec.CommandContext(i.t.Context(), argv[0], argv[1:]...)
	cmd.Env = i.env
	cmd.Stderr = os.Stderr
	return cmd
}

// content is what journals hold, without the module's own spans.
type content struct {
	finished, unfinished []forkspantest.Span
	own                  []forkspantest.Span // the module's own, finished and unfinished
	pids                 map[int]int         // of the journals: how many spans of the program have ended
}

// read reads the journals, which must be whole.
func (i instrumented) read() content {
	i.t.Helper()
	c := content{pids: map[int]int{}}
	for j, err := range journal.All(i.dir) {
		if err != nil {
			i.t.Fatal(err)
		}
		if j.Damaged > 0 {
			i.t.Errorf("the journal of process %d is damaged", j.PID)
		}
		finished, own := decode(i.t, j.Requests())
		unfinished, ownUnfinished := decode(i.t, j.UnfinishedRequests())
		for _, s := range slices.Concat(finished, unfinished, own, ownUnfinished) {
			if what := off([]forkspantest.Span{s}); len(what) > 0 && !i.strange {
				i.t.Errorf("the module does not know %q", what)
			}
			if pid, _ := s.ResourceAttribute("process.pid"); pid != int64(j.PID) {
				i.t.Errorf("span %q in the journal of process %d is of process %v", s.GetName(), j.PID, pid)
			}
		}
		c.finished = append(c.finished, finished...)
		c.unfinished = append(c.unfinished, unfinished...)
		c.own = append(c.own, append(own, ownUnfinished...)...)
		c.pids[j.PID] += len(finished)
	}
	return c
}

// decode takes export requests apart, and the module's own spans from the others.
func decode(t *testing.T, requests func(func([]byte) bool)) (spans, own []forkspantest.Span) {
	t.Helper()
	for body := range requests {
		for _, s := range decodeOne(t, body) {
			if s.Scope.GetName() == instrumentScope {
				own = append(own, s)
			} else {
				spans = append(spans, s)
			}
		}
	}
	return spans, own
}

func decodeOne(t *testing.T, body []byte) (spans []forkspantest.Span) {
	t.Helper()
	var data tracepb.TracesData
	if err := proto.Unmarshal(body, &data); err != nil {
		t.Fatal(err)
	}
	for _, r := range data.GetResourceSpans() {
		for _, s := range r.GetScopeSpans() {
			for _, span := range s.GetSpans() {
				spans = append(spans, forkspantest.Span{Span: span, Resource: r.GetResource(), Scope: s.GetScope()})
			}
		}
	}
	return spans
}

func names(spans []forkspantest.Span) []string {
	var list []string
	for _, s := range spans {
		list = append(list, s.GetName())
	}
	slices.Sort(list)
	return list
}

// The journal has each span as OpenTelemetry's own exporter encodes it.
func TestInstrumentEncodes(t *testing.T) {
	for _, version := range pythons {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			i := instrument(t)
			cmd := i.command(version, "everything.py")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stderr = io.Discard // it warns of what is dropped
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			want := map[string]forkspantest.Span{}
			lines := bufio.NewScanner(out)
			lines.Buffer(nil, 8<<20)
			for lines.Scan() {
				body, err := hex.DecodeString(lines.Text())
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range decodeOne(t, body) {
					want[string(s.GetSpanId())] = s
				}
			}
			if err := cmd.Wait(); err != nil || lines.Err() != nil {
				t.Fatal(err, lines.Err())
			}
			c := i.read()
			if len(c.finished) != len(want) || len(c.unfinished) != 0 {
				t.Errorf("%d spans and %d unfinished, want %d: %v", len(c.finished), len(c.unfinished), len(want), names(c.finished))
			}
			for _, got := range c.finished {
				w, ok := want[string(got.GetSpanId())]
				if !ok {
					t.Errorf("span %q is not the exporter's", got.GetName())
					continue
				}
				checkSame(t, got, w)
			}
		})
	}
}

// checkSame compares a span of a journal with what the exporter has made of it.
func checkSame(t *testing.T, got, want forkspantest.Span) {
	t.Helper()
	// What the oldest exporter leaves away: flags of the W3C, trace states of links, attributes of scopes.
	for _, span := range []*tracepb.Span{got.Span, want.Span} {
		const w3c = 0xff
		span.Flags &^= w3c
		for _, l := range span.GetLinks() {
			l.Flags &^= w3c
			l.TraceState = ""
		}
	}
	if len(want.Scope.GetAttributes()) == 0 {
		got.Scope.Attributes = nil
	}
	if want.GetStatus().GetCode() == 0 {
		want.Status = nil
	}
	resource := proto.CloneOf(got.Resource)
	resource.Attributes = slices.DeleteFunc(resource.Attributes, func(kv *commonpb.KeyValue) bool { return kv.GetKey() == "process.pid" })
	for _, pair := range [][2]proto.Message{{got.Span, want.Span}, {resource, want.Resource}, {got.Scope, want.Scope}} {
		if !proto.Equal(pair[0], pair[1]) {
			t.Errorf("span %q:\n%.2000v\nwant\n%.2000v", want.GetName(), pair[0], pair[1])
		}
	}
}

// deaths are how processes end that leave a span open.
var deaths = map[string]string{"os._exit": "exit status 7", "segfault": "signal: segmentation fault", "sigkill": "signal: killed"}

// ended is how a command has ended; empty for well.
func ended(err error) string {
	if err == nil {
		return ""
	}
	return strings.TrimSuffix(err.Error(), " (core dumped)")
}

// Whatever way a process begins and ends, its spans are there, once, and in a journal of its own.
func TestInstrumentProcesses(t *testing.T) {
	tests := map[string][]string{ // the names of the spans, with those of children
		"os._exit":   {"ended"},
		"segfault":   {"ended"},
		"sigkill":    {"ended"},
		"fork":       {"around", "around", "child", "parent"},
		"spawn":      {"Worker 0", "Worker 1", "main"},
		"forked":     {"Worker 0", "Worker 1", "main"},
		"forkserver": {"Worker 0", "Worker 1", "main"},
		"providers":  {"a", "b", "late"},
		"threads":    slices.Repeat([]string{"in a thread"}, 800),
		"asyncio":    slices.Repeat([]string{"task"}, 50),
		"signal":     {"around", "handler"},
		"concurrent": {"ended"},
		"daemon":     {"child", "parent"},
	}
	for _, version := range pythons {
		for _, way := range slices.Sorted(maps.Keys(tests)) {
			t.Run(version+"/"+way, func(t *testing.T) {
				t.Parallel()
				collector := forkspantest.NewCollector(t)
				endpoint := collector.Endpoint() + "/"
				i := instrument(t, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="+endpoint, "FORKSPAN_RUN_ENDPOINT="+endpoint)
				cmd := i.command(version, "ways.py", way)
				cmd.Stderr = io.Discard // a crash may say so
				out, err := cmd.Output()
				if how := ended(err); how != deaths[way] {
					t.Fatalf("%s, want %q\n%s", how, deaths[way], out)
				}
				c := i.read()
				if got := names(c.finished); !slices.Equal(got, tests[way]) {
					t.Errorf("spans %q, want %q", got, tests[way])
				}
				var open []string
				if deaths[way] != "" {
					open = []string{"open"}
				}
				if got := names(c.unfinished); !slices.Equal(got, open) {
					t.Errorf("unfinished spans %q, want %q", got, open)
				}
				if got := collector.Spans(); len(got) > 0 {
					t.Errorf("these were exported as well: %q", names(got))
				}
				if way == "fork" || way == "daemon" {
					if len(c.pids) != 2 {
						t.Errorf("journals of the processes %v, want two", c.pids)
					}
				}
			})
		}
	}
}
