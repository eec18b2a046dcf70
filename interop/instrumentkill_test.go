package interop

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// -kills 1000 is worth it after a change to the module that writes journals.
var kills = flag.Int("kills", 100, "how many Python processes TestInstrumentKill kills")

// reportedSpan is what a killed process has reported of a span of a thread.
type reportedSpan struct{ thread, number string }

// kill starts a process that makes spans, kills it at a random moment, and returns what had been reported of its spans:
// "started" or "ended".
func (i instrumented) kill(version string, threads int) map[reportedSpan]string {
	i.t.Helper()
	cmd := i.command(version, "victim.py", strconv.Itoa(threads))
	out, err := cmd.StdoutPipe()
	if err != nil {
		i.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	reports := map[reportedSpan]string{}
	last := 1 + rand.IntN(1000)
	lines := bufio.NewScanner(out)
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		if len(words) == 3 { // else the last line is cut off
			reports[reportedSpan{words[0], words[2]}] = words[1]
		}
		if n == last {
			if err := cmd.Process.Kill(); err != nil {
				i.t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // killed
	return reports
}

// No moment at which a process is killed loses a span that had ended, or the beginning of one that had begun, or leaves
// something that passes for more than that.
func TestInstrumentKill(t *testing.T) {
	const side = 3 // by side
	for first := range side {
		t.Run(strconv.Itoa(first), func(t *testing.T) {
			t.Parallel()
			for round := first; round < *kills; round += side {
				killOnce(t, pythons[round%len(pythons)])
			}
		})
	}
}

func killOnce(t *testing.T, version string) {
	i := instrument(t)
	threads := 1 + rand.IntN(3)
	reports := i.kill(version, threads)
	c := i.read()
	there := map[reportedSpan]string{}
	for what, names := range map[string][]string{"started": names(c.unfinished), "ended": names(c.finished)} {
		for _, name := range names {
			thread, number, _ := strings.Cut(name, "-")
			s := reportedSpan{thread, number}
			if there[s] != "" {
				t.Errorf("span %s is there twice", name)
			}
			there[s] = what
		}
	}
	for s, what := range reports {
		if got := there[s]; got == "" || what == "ended" && got != "ended" {
			t.Errorf("span %v has %s, and in the journal it has %q", s, what, got)
		}
	}
	further := 0 // what was not reported any more
	for s, what := range there {
		if reports[s] != what {
			further++
		}
	}
	if further > threads || len(c.pids) != 1 {
		t.Errorf("%d spans got further than reported, of %d threads; %d journals", further, threads, len(c.pids))
	}
	for _, s := range c.finished {
		if text, _ := s.Attribute("text"); s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() || strings.Trim(fmt.Sprint(text), "x") != "" {
			t.Errorf("span %v", s)
		}
	}
}
