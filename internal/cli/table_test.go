package cli

import (
	"strings"
	"testing"

	"forkspan.dev/forkspan/internal/timeline"
)

func TestTableFits(t *testing.T) {
	tab := &table{
		head: []string{"RUN", "COMMAND", "WHEN", "SPANS"}, right: []bool{false, false, true, true}, spare: []int{3, 2},
	}
	tab.add("7K3F", "vllm serve model", "3m ago", "12,345")
	for _, test := range []struct {
		width int
		head  string
	}{
		{0, "RUN   COMMAND             WHEN   SPANS"},
		{38, "RUN   COMMAND             WHEN   SPANS"},
		{30, "RUN   COMMAND     WHEN   SPANS"},
		{29, "RUN   COMMAND            WHEN"},
		{20, "RUN   COMMAND"},
		{5, "RUN   COMMAND"},
	} {
		lines := strings.Split(string(tab.render(timeline.TextOptions{Width: test.width}, 1)), "\n")
		if lines[0] != test.head {
			t.Errorf("%d columns: %q, want %q", test.width, lines[0], test.head)
		}
		if test.width >= 14 && (len(lines[0]) > test.width || len(lines[1]) > test.width) {
			t.Errorf("%d columns: it is wider:\n%s", test.width, strings.Join(lines, "\n"))
		}
	}
}

func TestTableShortensIDsBeforeItLeavesColumnsOut(t *testing.T) {
	for width, want := range map[int]string{
		0:  "4bf92f3577b34da6a3ce929d0e0e4736  POST /v1/chat/completions  ok",
		63: "4bf92f3577b34da6a3ce929d0e0e4736  POST /v1/chat/completions  ok",
		60: "4bf92f35  POST /v1/chat/completions  ok",
		30: "4bf92f35  POST /v1/chat/c…  ok",
		20: "4bf92f35  POST /v1/…",
	} {
		tab := &table{head: []string{"TRACE", "REQUEST", "S"}, right: make([]bool, 3), spare: []int{2}, ids: true}
		tab.add("4bf92f3577b34da6a3ce929d0e0e4736", "POST /v1/chat/completions", "ok")
		tab.add("4bf9000000b34da6a3ce929d0e0e4736", "POST /v1/chat/completions", "ok")
		lines := strings.Split(string(tab.render(timeline.TextOptions{Width: width, Unicode: true}, 1)), "\n")
		if lines[1] != want {
			t.Errorf("%d columns: %q, want %q", width, lines[1], want)
		}
	}
}

func TestTableKeepsTheNamesReadable(t *testing.T) {
	tab := &table{head: []string{"PROCESS", "PID", "MEMORY"}, right: []bool{false, true, true}, spare: []int{2}, least: 20}
	tab.add("forkspan demo-process worker 1", "26802", "18 MB")
	if got := string(tab.render(timeline.TextOptions{Width: 34}, 0)); !strings.Contains(got, "forkspan demo-process wor..  26802\n") {
		t.Errorf("MEMORY stays and the name goes:\n%s", got)
	}
}
