package timeline

import (
	"strings"
	"testing"

	"forkspan.dev/forkspan/internal/otlp"
)

func TestWindow(t *testing.T) {
	tests := []struct {
		name       string
		spans      string
		opts       Options
		start, end float64 // seconds after epoch
	}{
		{"all of start-up", `
			1 - A a 2 9
			2 1 A b 3 12`, Options{}, 2, 12},
		{"without the requests", `
			1 - A a 2 9
			2 - A llm 20 30 server`, Options{}, 2, 9},
		{"with them when all is drawn", `
			1 - A a 2 9
			2 - A llm 20 30 server`, Options{All: true}, 2, 30},
		{"requests alone", `
			2 - A llm 20 30 server`, Options{}, 20, 30},
		{"the command's span ends long after start-up", `
			1 - A serve 0 9000 run
			2 1 A a 2 9`, Options{}, 0, 9},
		{"the command's span ends soon after all others", `
			1 - A make 0 10 run
			2 1 A a 2 9.5`, Options{}, 0, 10},
		{"so does one that goes on", `
			1 - A make 0 - run
			2 1 A a 2 9.5`, Options{}, 0, 9.5},
		{"nothing but the command", `
			1 - A true 0 2 run`, Options{}, 0, 2},
		{"to the time when it was ready", `
			1 - A a 2 9
			2 1 A compile 70 75`, Options{Ready: (epoch + 12) * 1e9}, 2, 12},
		{"ready by the span of start-up", `
			1 - A serve 0 9000 run
			2 1 A startup 0 12 run
			3 2 A a 2 9
			4 2 A compile 70 75`, Options{}, 0, 12},
		{"a span that ends just after ready", `
			1 - A a 2 11`, Options{Ready: (epoch + 10) * 1e9}, 2, 11},
		{"a late span after a long silence", `
			1 - A a 0 30
			2 1 A compile 7200 7260`, Options{}, 0, 30},
		{"a late span with All", `
			1 - A a 0 30
			2 1 A compile 7200 7260`, Options{All: true}, 0, 7260},
		{"silence no longer than start-up itself", `
			1 - A a 0 600
			2 - A b 900 1000`, Options{}, 0, 1000},
		{"from the command's start", `
			1 - A a 5 9`, Options{Start: (epoch + 1) * 1e9}, 1, 9},
		{"a clock that was never set", `
			1 - A a 5 9
			2 1 B b -1699999999 -1699999990`, Options{}, 5, 9},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tl := Build(parseSpans(t, test.spans), test.opts)
			start, end := float64(tl.Start)/1e9-epoch, float64(tl.End)/1e9-epoch
			if start != test.start || end != test.end {
				t.Errorf("window %v to %v, want %v to %v", start, end, test.start, test.end)
			}
		})
	}
}

// What the bars look like, a case a line.
func TestBars(t *testing.T) {
	tests := []struct {
		name  string
		spans string
		opts  Options
		want  string // line of the last row
	}{
		{"late", `
			1 - A a 0 30
			2 1 A compile 7200 7260`, Options{}, "└ compile         60.0s              +2h00m →"},
		{"early", `
			1 - A a 1 10
			2 1 A clock 0 0.5`, Options{Start: (epoch + 1) * 1e9}, "└ clock           500ms  ← -1.0s"},
		{"beyond the right edge", `
			1 - A serve 0 100 run
			2 1 A a 0 10
			3 1 A tail 5 20`, Options{Ready: (epoch + 10) * 1e9}, "└ tail            15.0s            ━━━━━━━━━…"},
		{"unfinished", `
			1 - A a 0 10
			2 1 A b 5 -`, Options{}, "└ b unfinished     5.0s            ┅┅┅┅┅┅┅┅┅┅"},
		{"no time at all", `
			1 - A a 0 10
			2 1 A b 5 5`, Options{}, "└ b                  0s            ╸"},
		{"backwards", `
			1 - A a 0 10
			2 1 A b 6 5`, Options{}, "└ b               -1.0s            ━━"},
		{"ranks that differ", `
			1 - A a 0 10
			2 1 W_0 b 2 8
			3 1 W_1 b 4 6`, Options{}, "└ W_0 … 1: b ×2   2.0–6.0s     ╶───━━━───╴"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			err := Build(parseSpans(t, test.spans), test.opts).WriteText(&out, TextOptions{Width: 45, Unicode: true})
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			if got := lines[len(lines)-1]; got != test.want {
				t.Errorf("got  %q\nwant %q\n%s", got, test.want, out.String())
			}
		})
	}
}

func TestNothingRawReachesTheTerminal(t *testing.T) {
	evil := "a\x1b]0;title\a\x1b[2J\r\nb\u202ec\x9bd\xff"
	spans := []otlp.Span{{
		TraceID: otlp.TraceID{1}, SpanID: otlp.SpanID{1}, Name: evil, Message: evil, Status: otlp.StatusError,
		Start: epoch * 1e9, End: epoch*1e9 + 5, Process: &otlp.Process{Name: evil},
	}, {
		TraceID: otlp.TraceID{1}, SpanID: otlp.SpanID{2}, Name: "b", Start: epoch * 1e9, End: epoch*1e9 + 5, Process: &otlp.Process{Service: evil},
	}}
	for _, unicode := range []bool{true, false} {
		var out strings.Builder
		if err := Build(spans, Options{}).WriteText(&out, TextOptions{Width: 300, Unicode: unicode}); err != nil {
			t.Fatal(err)
		}
		if i := strings.IndexFunc(out.String(), func(r rune) bool {
			return r != '\n' && (r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x202e || r == '\ufffd')
		}); i >= 0 {
			t.Errorf("%q at %d in %q", out.String()[i], i, out.String())
		}
		if !strings.Contains(out.String(), `a\x1b]0;title\a\x1b[2J  b\u202ec\x9bd\xff`) {
			t.Errorf("the name is not legible: %s", out.String())
		}
	}
}

func TestMarkdownCannotBeLeft(t *testing.T) {
	spans := parseSpans(t, "1 - A a```b 0 5")
	var out strings.Builder
	if err := Build(spans, Options{}).WriteMarkdown(&out); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "````text\n") || !strings.HasSuffix(out.String(), "\n````\n") {
		t.Error(out.String())
	}
}

func TestSeveralTraces(t *testing.T) {
	tl := Build(parseSpans(t, `
		1 - A a 0 5 trace=1
		2 - A b 1 5 trace=2
		3 2 A c 2 3 trace=2`), Options{})
	var out strings.Builder
	if err := tl.WriteText(&out, TextOptions{Width: 60}); err != nil {
		t.Fatal(err)
	}
	want := `                         0s            2s            4s
trace 00000000000000000000000000000001  1 span
a                  5.0s  ===================================
trace 00000000000000000000000000000002  2 spans
b                  4.0s         ============================
` + "`-c                1.0s                =======\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}
