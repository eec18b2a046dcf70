package interop

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"forkspan.dev/forkspan/forkspantest"
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
	reports := readReports(i.t, cmd, func(int) error { return cmd.Process.Kill() })
	_ = cmd.Wait() // killed
	return reports
}

// readReports starts a command that runs victim.py, has it killed after a random number of reports, and returns all of them. The
// command has to be waited for.
func readReports(t *testing.T, cmd *exec.Cmd, kill func(pid int) error) map[reportedSpan]string {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	reports := map[reportedSpan]string{}
	last, pid := 1+rand.IntN(1000), 0
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		switch {
		case n == 0:
			if pid, err = strconv.Atoi(words[0]); err != nil {
				t.Fatal(err)
			}
		case len(words) == 3: // else the last line is cut off
			reports[reportedSpan{words[0], words[2]}] = words[1]
		}
		if n == last {
			if err := kill(pid); err != nil {
				t.Fatal(err)
			}
		}
	}
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
	checkReports(t, reports, threads, c.finished, c.unfinished)
	if len(c.pids) != 1 {
		t.Errorf("%d journals", len(c.pids))
	}
}

// checkReports compares spans with what was reported of them.
func checkReports(t *testing.T, reports map[reportedSpan]string, threads int, finished, unfinished []forkspantest.Span) {
	t.Helper()
	there := map[reportedSpan]string{}
	for what, names := range map[string][]string{"started": names(unfinished), "ended": names(finished)} {
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
	if further > threads {
		t.Errorf("%d spans got further than reported, of %d threads", further, threads)
	}
	for _, s := range finished {
		if text, _ := s.Attribute("text"); s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() || strings.Trim(fmt.Sprint(text), "x") != "" {
			t.Errorf("span %v", s)
		}
	}
}

// When `forkspan run` is killed and then the process, the next command has all of its spans.
func TestInstrumentKillBoth(t *testing.T) {
	for _, version := range pythons {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			const threads = 2
			env := environment("XDG_STATE_HOME=" + t.TempDir())
			victim := python(version, "instrument/victim.py", strconv.Itoa(threads))
			cmd := exec.Command(ours("forkspan"), append([]string{"run", "-q", "--instrument=python", "--"}, victim...)...)
			cmd.Env = env
			reports := readReports(t, cmd, func(pid int) error {
				if err := cmd.Process.Kill(); err != nil {
					return err
				}
				if _, err := cmd.Process.Wait(); err != nil {
					return err
				}
				return syscall.Kill(pid, syscall.SIGKILL)
			})
			file := filepath.Join(t.TempDir(), "run.jsonl")
			execute(t, env, ours("forkspan"), "export", "-o", file)
			var finished, unfinished []forkspantest.Span
			for _, s := range readSpans(t, file) {
				switch {
				case !strings.Contains(s.GetName(), "-"):
				case s.GetEndTimeUnixNano() == 0:
					unfinished = append(unfinished, s)
				default:
					finished = append(finished, s)
				}
			}
			unfinished = slices.DeleteFunc(unfinished, func(s forkspantest.Span) bool { // it had been open for long
				return slices.ContainsFunc(finished, func(f forkspantest.Span) bool { return bytes.Equal(f.GetSpanId(), s.GetSpanId()) })
			})
			checkReports(t, reports, threads, finished, unfinished)
		})
	}
}
