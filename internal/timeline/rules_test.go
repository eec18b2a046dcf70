package timeline

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"forkspan.dev/forkspan/internal/otlp"
)

// epoch is when made-up traces begin, in seconds.
const epoch = 1_700_000_000

// parseSpans reads spans from lines of
//
//	id parent process name start end [server|client] [error=MESSAGE] [trace=N] [run] [module]
//
// with times in seconds after epoch, - for no parent, and - as the end of an unfinished span.
func parseSpans(t testing.TB, text string) []otlp.Span {
	t.Helper()
	processes := map[string]*otlp.Process{}
	var spans []otlp.Span
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if processes[f[2]] == nil {
			processes[f[2]] = &otlp.Process{Name: f[2], PID: 100 + len(processes)}
		}
		s := otlp.Span{Process: processes[f[2]], Name: f[3], Kind: otlp.KindInternal, TraceID: otlp.TraceID{15: 1}}
		s.SpanID[7] = byte(number(t, f[0]))
		if f[1] != "-" {
			s.ParentID[7] = byte(number(t, f[1]))
		}
		s.Start = int64((epoch + number(t, f[4])) * 1e9)
		if f[5] != "-" {
			s.End = int64((epoch + number(t, f[5])) * 1e9)
		}
		for _, option := range f[6:] {
			key, value, _ := strings.Cut(option, "=")
			switch key {
			case "server":
				s.Kind = otlp.KindServer
			case "client":
				s.Kind = otlp.KindClient
			case "error":
				s.Status, s.Message = otlp.StatusError, value
			case "trace":
				s.TraceID[15] = byte(number(t, value))
			case "module":
				s.Scope, s.Name = &otlp.Scope{Name: pythonScope}, importPrefix+s.Name
			case "run":
				s.Scope = &otlp.Scope{Name: runScope}
			default:
				t.Fatalf("unknown option %q", option)
			}
		}
		spans = append(spans, s)
	}
	return spans
}

func number(t testing.TB, s string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// outline writes the rows with what their flags say: one line a row, indented by depth.
func outline(t *Timeline) string {
	var b strings.Builder
	for i := range t.Rows {
		r := &t.Rows[i]
		b.WriteString(strings.Repeat(" ", r.Depth))
		if r.Prefix != "" {
			b.WriteString(r.Prefix + ":")
		}
		b.WriteString(r.Name)
		if r.Count > 1 {
			fmt.Fprintf(&b, " x%d", r.Count)
		}
		for _, mark := range []struct {
			set  bool
			name string
		}{
			{r.Unfinished, "unfinished"}, {r.MissingParent, "missing"}, {r.Cycle, "cycle"}, {r.Context, "context"},
			{r.ErrorMessage != "", "says=" + r.ErrorMessage}, {r.Hidden > 0, fmt.Sprintf("hidden=%d", r.Hidden)},
		} {
			if mark.set {
				b.WriteString(" " + mark.name)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestRules(t *testing.T) {
	tests := []struct {
		name  string
		spans string
		opts  Options
		want  string
	}{
		{"no spans", ``, Options{}, ``},
		{"children before parents", `
			3 2 A c 2 3
			2 1 A b 1 4
			1 - A a 0 5`, Options{}, "a\n b\n  c\n"},
		{"parent that ended earlier", `
			1 - A a 0 5
			2 1 A b 7 9`, Options{}, "a\n b\n"},
		{"child that starts first", `
			1 - A a 5 9
			2 1 A b 1 3`, Options{}, "a\n b\n"},
		{"end before start", `
			1 - A a 0 5
			2 1 A b 4 2`, Options{}, "a\n b\n"},
		{"missing parent", `
			1 9 A a 0 5
			2 1 A b 1 2`, Options{}, "a missing\n b\n"},
		{"equal ids: own process first", `
			1 - A top 0 9
			2 1 W_0 init 1 5
			2 1 W_1 init 1 5
			3 2 W_1 load 2 4
			3 2 W_0 load 2 3`, Options{NoGroup: true}, `
			A:top
			 W_0:init
			  load
			 W_1:init
			  load`},
		{"equal ids: else the earliest", `
			1 - W_1 second 2 5
			1 - W_0 first 1 5
			2 1 A child 3 4`, Options{NoGroup: true}, "W_0:first\n A:child\nW_1:second\n"},
		{"finished supersedes unfinished, in either order", `
			1 - A a 0 -
			1 - A a 0 5
			2 1 A b 1 2
			2 1 A b 1 -`, Options{}, "a\n b\n"},
		{"exact duplicates", `
			1 - A a 0 5
			1 - A a 0 5
			1 - A a 0 5`, Options{}, "a\n"},
		{"own parent", `
			1 1 A a 0 5`, Options{}, "a cycle\n"},
		{"cycle is cut above the earliest", `
			1 3 A a 2 5
			2 1 A b 1 4
			3 2 A c 3 6
			4 3 A d 4 5`, Options{}, "b cycle\n c\n  a\n  d\n"},
		{"unfinished", `
			1 - A a 0 -
			2 1 A b 1 7`, Options{}, "a unfinished\n b\n"},
		{"process prefix where it changes", `
			1 - A a 0 9
			2 1 A b 1 8
			3 2 B c 2 7
			4 3 B d 3 6
			5 4 A e 4 5`, Options{}, "A:a\n b\n  B:c\n   d\n    A:e\n"},
		{"siblings by start", `
			1 - A a 0 9
			2 1 A late 5 6
			3 1 A early 1 2`, Options{}, "a\n early\n late\n"},
		{"ranks in one row", `
			1 - A a 0 9
			2 1 W_0 init 1 5
			3 1 W_1 init 2 6
			4 2 W_0 load 3 4
			5 3 W_1 load 3 5`, Options{}, "A:a\n W_0 … 1:init x2\n  load x2\n"},
		{"ranks of different shape stay apart", `
			1 - A a 0 9
			2 1 W_0 init 1 5
			3 1 W_1 init 2 6
			4 2 W_0 load 3 4`, Options{}, "A:a\n W_0:init\n  load\n W_1:init\n"},
		{"the rank that failed stays apart", `
			1 - A a 0 9
			2 1 W_0 init 1 5
			3 1 W_1 init 2 6 error=oom
			4 1 W_2 init 2 6`, Options{}, "A:a\n W_0 … 2:init x2\n W_1:init says=oom\n"},
		{"several equal spans of each rank pair up in order", `
			1 - A a 0 9
			2 1 W_0 step 1 2
			3 1 W_1 step 1 2
			4 1 W_0 step 3 4
			5 1 W_1 step 3 4`, Options{}, "A:a\n W_0 … 1:step x2\n W_0 … 1:step x2\n"},
		{"ranks within ranks", `
			1 - A a 0 9
			2 1 E_0 core 1 8
			3 1 E_1 core 1 8
			4 2 W_0 init 2 4
			5 2 W_1 init 2 4
			6 3 W_2 init 2 4
			7 3 W_3 init 2 4`, Options{}, "A:a\n E_0 … 1:core x2\n  W_0 … 3:init x4\n"},
		{"one process is no group", `
			1 - A a 0 9
			2 1 W_0 init 1 5
			3 1 W_0 init 6 7`, Options{}, "A:a\n W_0:init\n W_0:init\n"},
		{"not grouped with All", `
			1 - A a 0 9
			2 1 W_0 init 1 5
			3 1 W_1 init 1 5`, Options{All: true}, "A:a\n W_0:init\n W_1:init\n"},
		{"requests: roots and those with a missing parent", `
			1 - A start 0 5
			2 - A llm 6 7 server
			3 9 A llm 7 8 server
			4 2 A inner 6 7`, Options{}, "start\nrequests x2\n"},
		{"requests: below an ambient parent", `
			1 - A start 0 5
			2 1 A llm 6 7 server
			3 1 A llm 6 7 server
			4 1 A load 1 2`, Options{AmbientParents: []otlp.SpanID{{7: 1}}}, "start\n load\nrequests x2\n"},
		{"requests: below the command's span", `
			1 - A make 0 50 run
			2 1 A llm 6 7 server
			3 1 A llm 6 7 server
			4 1 A load 1 2`, Options{}, "make\n load\nrequests x2\n"},
		{"a server span deep in start-up is part of it", `
			1 - A start 0 5
			2 1 A load 1 4
			3 2 B fetch 2 3 server`, Options{}, "A:start\n load\n  B:fetch\n"},
		{"requests: below a start-up span that has ended", `
			1 - A start 0 50
			2 1 A load 0 5
			3 2 B llm 6 7 server
			4 2 A llm 5 6 server
			5 2 A late 6 7`, Options{}, "A:start\n load\n  late\nrequests x2\n"},
		{"requests: below an open span of the server itself", `
			1 - A serve 0 -
			2 1 A llm 6 7 server
			3 1 A llm 6 7 server`, Options{}, "serve unfinished\nrequests x2\n"},
		{"requests: a client's span, a server's and the engine's are one", `
			1 - A start 0 5
			2 - C call 6 9 client
			3 2 P proxy 6 9 server
			4 3 P call 6 9 client
			5 4 A api 7 9 server
			6 5 E llm 7 8 server`, Options{ListRequests: true},
			"A:start\nC:call\n P:proxy\n  call\n   A:api\n    E:llm\n"},
		{"requests: what a request leaves running is part of it", `
			1 - A start 0 5
			2 - A llm 6 7 server
			3 2 A answer 6 7
			4 3 A flush 8 9 server`, Options{ListRequests: true}, "start\nllm\n answer\n  flush\n"},
		{"requests: clocks of client and server differ", `
			1 - A start 0 5
			2 1 A fetch 1 2 client
			3 2 B serve 3 4 server`, Options{}, "A:start\n fetch\n  B:serve\n"},
		{"requests row by row", `
			1 - A start 0 5
			2 - A llm 6 9 server
			3 2 A phase 7 8
			4 - A llm 8 9 server`, Options{ListRequests: true}, "start\nrequests x2\n llm\n  phase\n llm\n"},
		{"requests alone are drawn", `
			2 - A llm 6 9 server
			3 2 A phase 7 8
			4 - A llm 8 9 server`, Options{}, "requests x2\n llm\n  phase\n llm\n"},
		{"a single request is drawn as itself", `
			1 - A start 0 5
			2 - A llm 6 9 server
			3 2 A phase 7 8`, Options{ListRequests: true}, "start\nllm\n phase\n"},
		{"the trace of the command first", `
			1 - A other 0 5 trace=2
			2 - A make 1 9 run
			3 2 A step 2 3`, Options{}, "make\n step\nother\n"},
		{"error is said where it began", `
			1 - A a 0 9 error=load:boom
			2 1 A b 1 8 error=boom
			3 2 A c 2 7 error=boom`, Options{}, "a\n b\n  c says=boom\n"},
		{"another error above is said too", `
			1 - A a 0 9 error=gave_up
			2 1 A b 1 8 error=boom`, Options{}, "a says=gave_up\n b says=boom\n"},
		{"depth", `
			1 - A a 0 9
			2 1 A b 1 8
			3 2 A c 2 7`, Options{MaxDepth: 2}, "a\n b hidden=1\n"},
		{"shortest left out", `
			1 - A a 0 9
			2 1 A b 1 2
			3 1 A c 1 8`, Options{MinDuration: 3e9}, "a\n c\n"},
		{"process with its ancestors", `
			1 - A a 0 9
			2 1 Worker b 1 8
			3 1 C c 2 7`, Options{Process: "work"}, "A:a context\n Worker:b\n"},
		{"errors with their ancestors", `
			1 - A a 0 9
			2 1 A b 1 8 error=x
			3 1 A c 2 7`, Options{ErrorsOnly: true}, "a context\n b says=x\n"},
		{"critical path", `
			1 - A a 0 9
			2 1 A early 0 3
			3 1 A slow 2 9
			4 1 A first 0 2`, Options{CriticalPath: true}, "a\n first\n slow\n"},
		{"most rows: failed and longest kept", `
			1 - A a 0 9
			2 1 A b 1 8
			3 1 A c 1 2 error=x
			4 1 A d 1 3`, Options{MaxRows: 3}, "a hidden=1\n b\n c says=x\n"},
		{"chains of imports are shortened, and of imports within others only their own time counts", `
			1 - A all 0 100
			2 1 A a 0 50 module
			3 2 A b 0 50 module
			4 3 A c 0 49 module
			5 4 A d 0 30 module
			6 5 A d.d 0 1 module
			7 4 A e 30 40 module
			8 1 A load 50 65`, Options{MaxRows: 5}, `
			all
			 import a hidden=1
			  import c hidden=1
			   import d hidden=1
			 load
			`},
		{"ranks are equal although they differ in imports", `
			1 - E executor 0 30
			2 1 W_0 init 1 12
			3 2 W_0 a 1 5 module
			4 3 W_0 b 2 3 module
			5 2 W_0 c 6 7 module
			6 2 W_0 load 8 11
			7 1 W_1 init 1 9
			8 7 W_1 a 1 5 module
			9 8 W_1 d 2 4 module
			10 9 W_1 e 2 3 module
			11 7 W_1 load 8 9
			12 1 W_2 init 1 9
			13 12 W_2 d 1 2 module
			14 13 W_2 f 1 2 module
			15 12 W_2 load 8 9
			16 15 W_2 g 8 9 module
			17 16 W_2 h 8 9 module`, Options{}, `
			E:executor
			 W_0 … 2:init x3 hidden=2
			  import a x2 hidden=2
			   import b
			  import c
			  load x3 hidden=2
			`},
		{"imports that have room are left as they are", `
			1 - A a 0 50 module
			2 1 A b 0 50 module
			3 2 A c 0 50 module`, Options{MaxRows: 3}, "import a\n import b\n  import c\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			spans := parseSpans(t, test.spans)
			want := strings.ReplaceAll(strings.TrimPrefix(test.want, "\n"), "\t\t\t", "")
			if want != "" && !strings.HasSuffix(want, "\n") {
				want += "\n"
			}
			for range 10 { // in any order
				if got := outline(Build(spans, test.opts)); got != want {
					t.Fatalf("got\n%swant\n%s", got, want)
				}
				rand.Shuffle(len(spans), func(i, j int) { spans[i], spans[j] = spans[j], spans[i] })
			}
		})
	}
}

func TestDeepChain(t *testing.T) {
	const depth = 100_000
	spans := make([]otlp.Span, depth)
	for i := range spans {
		spans[i] = otlp.Span{TraceID: otlp.TraceID{1}, Name: "level", Start: int64(epoch*1e9) + int64(i), End: int64(epoch*1e9) + 2*depth}
		spans[i].SpanID = spanNumber(i + 1)
		if i > 0 {
			spans[i].ParentID = spanNumber(i)
		}
	}
	slices.Reverse(spans)
	tl := Build(spans[depth-1000:], Options{})
	if len(tl.Rows) != 1000 || tl.Rows[999].Depth != 999 {
		t.Fatalf("%d rows", len(tl.Rows))
	}
	var out strings.Builder
	if err := tl.WriteText(&out, TextOptions{Width: 80, Unicode: true}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := Columns(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Fatalf("a line of %d columns: %q", n, line)
		}
	}
	if tl := Build(spans, Options{MaxRows: 10}); len(tl.Rows) != 10 || tl.Hidden != depth-10 {
		t.Errorf("%d rows, %d hidden", len(tl.Rows), tl.Hidden)
	}
}

func spanNumber(n int) (id otlp.SpanID) {
	for i := range id {
		id[7-i] = byte(n >> (8 * i))
	}
	return id
}

func TestGroupFigures(t *testing.T) {
	tl := Build(parseSpans(t, `
		1 - A a 0 9
		2 1 W_0 init 1 5
		3 1 W_1 init 2 8`), Options{})
	r := tl.Rows[1]
	second := func(ns int64) float64 { return float64(ns-epoch*1e9) / 1e9 }
	if r.Kind != GroupRow || r.Duration != 6e9 || r.Shortest != 4e9 || len(r.Members) != 2 ||
		second(r.Start) != 1 || second(r.End) != 8 || second(r.CommonStart) != 2 || second(r.CommonEnd) != 5 {
		t.Errorf("%+v", r)
	}
}

func TestSelfTime(t *testing.T) {
	tl := Build(parseSpans(t, `
		1 - A a 0 10
		2 1 A b 1 4
		3 1 A c 3 5
		4 1 A d 9 20`), Options{})
	if got := tl.Rows[0].Self; got != 5e9 { // 0–1 and 5–9
		t.Errorf("self time %v, want 5s", FormatDuration(got))
	}
}

func TestUnfinishedEndsWithItsProcess(t *testing.T) {
	tl := Build(parseSpans(t, `
		1 - A a 0 -
		2 1 B b 1 7
		3 - A c 2 5`), Options{})
	if got := tl.Rows[0]; !got.Unfinished || got.Duration != 7e9 {
		t.Errorf("a lasted %v, want 7s: as long as what is below it", FormatDuration(got.Duration))
	}
}
