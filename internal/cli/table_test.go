package cli

import (
	"strings"
	"testing"
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
		lines := strings.Split(string(tab.render(test.width, 1, false)), "\n")
		if lines[0] != test.head {
			t.Errorf("%d columns: %q, want %q", test.width, lines[0], test.head)
		}
		if test.width >= 14 && (len(lines[0]) > test.width || len(lines[1]) > test.width) {
			t.Errorf("%d columns: it is wider:\n%s", test.width, strings.Join(lines, "\n"))
		}
	}
}
