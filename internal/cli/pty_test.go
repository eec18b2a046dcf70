//go:build !windows

package cli

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"

	"forkspan.dev/forkspan/internal/timeline"
)

// onTerminal runs forkspan on a terminal of the given size and returns what it drew, with the line ends of a file.
func onTerminal(t *testing.T, columns, lines uint16, env []string, args ...string) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	cmd := &exec.Cmd{
		Path: program, Args: append([]string{"forkspan"}, args...),
		Env: append([]string{"HOME=" + home, "XDG_STATE_HOME=" + home, "TERM=xterm-256color", "LANG=C.UTF-8"}, env...),
	}
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: columns, Rows: lines})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	out, _ := io.ReadAll(terminal) // ends with an error when the program does
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.ReplaceAll(string(out), "\r\n", "\n")
}

func TestShowFitsTheTerminal(t *testing.T) {
	capture := filepath.Join("..", "..", "testdata", "captures", "vllm-serve-tp2-api2.otlp.jsonl")
	for _, columns := range []uint16{60, 80, 120, 200} {
		out := onTerminal(t, columns, 50, nil, "show", capture)
		if !strings.Contains(out, "━") || !strings.Contains(out, "\x1b[38;5;") {
			t.Errorf("no box drawing or no colour on a terminal:\n%s", out)
		}
		widest := 0
		for line := range strings.Lines(stripColor(out)) {
			widest = max(widest, timeline.Columns(strings.TrimSuffix(line, "\n")))
		}
		if widest != int(columns) {
			t.Errorf("drawn %d columns wide on a terminal of %d:\n%s", widest, columns, out)
		}
	}
}

func TestShowIsPlainWhenAskedTo(t *testing.T) {
	capture := filepath.Join("..", "..", "testdata", "captures", "vllm-serve.otlp.jsonl")
	for _, env := range []string{"NO_COLOR=1", "TERM=dumb", "FORKSPAN_COLOR=never"} {
		out := onTerminal(t, 100, 50, []string{env}, "show", capture)
		if strings.ContainsAny(out, "\x1b━│└·") {
			t.Errorf("%s:\n%s", env, out)
		}
	}
	out := onTerminal(t, 100, 50, []string{"LC_ALL=C"}, "show", capture)
	if strings.Contains(out, "━") || !strings.Contains(out, "\x1b[") {
		t.Errorf("LC_ALL=C has no box drawing but colour:\n%s", out)
	}
}

func TestShowFoldsToAScreenful(t *testing.T) {
	path := filepath.Join(t.TempDir(), "many.jsonl")
	var text strings.Builder
	for i := range 100 {
		text.WriteString(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"00000000000000000000000000000001","spanId":"`)
		text.WriteString(strings.Repeat("0", 14) + string("0123456789"[i/10]) + string("0123456789"[i%10]))
		text.WriteString(`1","name":"s","startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000001000000000"}]}]}]}` + "\n")
	}
	data := strings.ReplaceAll(text.String(), `"spanId":"00`, `"spanId":"0`)
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	const lines = 30
	out := onTerminal(t, 100, lines, nil, "show", path)
	if n := strings.Count(out, "\n"); n >= lines || n < lines-6 {
		t.Errorf("%d lines on a screen of %d:\n%s", n, lines, out)
	}
	if !strings.Contains(out, "76 more rows: --depth, --min-duration, --all") {
		t.Errorf("what was left out is not said:\n%s", out)
	}
	if n := strings.Count(onTerminal(t, 100, lines, nil, "show", "--all", path), "\n"); n < 100 {
		t.Errorf("--all draws %d lines", n)
	}
}

func TestHelpFitsTheTerminal(t *testing.T) {
	for _, command := range []string{"run", "show", "ls", "import", "rm", "demo", "version"} {
		for _, columns := range []uint16{80, 100} {
			for line := range strings.Lines(onTerminal(t, columns, 50, nil, command, "--help")) {
				if n := timeline.Columns(strings.TrimSuffix(line, "\n")); n > int(columns) {
					t.Errorf("forkspan %s --help: %d columns on a terminal of %d: %s", command, n, columns, line)
				}
			}
		}
	}
}

func TestRunOffersToShowWhatIsStored(t *testing.T) {
	const offer = "show it again: forkspan show"
	if out := onTerminal(t, 100, 50, nil, "run", "true"); !strings.Contains(out, offer) {
		t.Errorf("it does not:\n%s", out)
	}
	out := onTerminal(t, 100, 50, []string{"XDG_STATE_HOME=" + os.DevNull, "TMPDIR=" + os.DevNull}, "run", "true")
	if !strings.Contains(out, "kept in memory") || strings.Contains(out, offer) {
		t.Errorf("without a store:\n%s", out)
	}
}

// stripColor takes colour sequences out.
func stripColor(s string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "\x1b[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		_, s, _ = strings.Cut(after, "m")
	}
}
