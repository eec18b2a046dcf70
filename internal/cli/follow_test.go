//go:build !windows

package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"

	"forkspan.dev/forkspan"
)

func init() { standIns["steps"] = steps }

// steps loads until its standard input ends. It reaches nobody over the network.
func steps() error {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "FORKSPAN_RUN_ENDPOINT"} {
		os.Setenv(name, "http://127.0.0.1:9/")
	}
	tr, err := forkspan.Init(context.Background(), "steps")
	if err != nil {
		return err
	}
	forkspan.Do(context.Background(), "Load", func(context.Context) error {
		_, _ = os.Stdin.Read(make([]byte, 1)) // its end
		return nil
	})
	return tr.Shutdown(context.Background())
}

// followed is a run of steps and a forkspan show --follow of it on a terminal.
type followed struct {
	hold     io.Closer // steps goes on when it is closed
	run      *exec.Cmd
	show     *exec.Cmd
	terminal *os.File
	seen     bytes.Buffer
}

func startFollowed(t *testing.T) *followed {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f := &followed{}
	child, db := filepath.Join(dir, "steps"), filepath.Join(dir, "forkspan.db")
	if err := os.Symlink(program, child); err != nil {
		t.Fatal(err)
	}
	env := []string{"HOME=" + dir, "TERM=xterm-256color", "LANG=C.UTF-8", "FORKSPAN_DB=" + db, "PATH=" + os.Getenv("PATH")}
	f.run = &exec.Cmd{Path: program, Args: []string{"forkspan", "run", "-q", "--ready", "span:none", "--", child}, Env: env}
	if f.hold, err = f.run.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := f.run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.hold.Close(); _ = f.run.Wait() })
	// The run is there when something of it is stored.
	for {
		ls := &exec.Cmd{Path: program, Args: []string{"forkspan", "ls", "--json"}, Env: env}
		if out, _ := ls.Output(); bytes.Contains(out, []byte(`"steps"`)) {
			break
		}
	}
	f.show = &exec.Cmd{Path: program, Args: []string{"forkspan", "show", "--follow"}, Env: env}
	f.terminal, err = pty.StartWithSize(f.show, &pty.Winsize{Cols: 80, Rows: 24})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.terminal.Close() })
	return f
}

// readUntil reads what is drawn until text has come so many times.
func (f *followed) readUntil(t *testing.T, text string, times int) {
	t.Helper()
	b := make([]byte, 4<<10)
	for strings.Count(f.seen.String(), text) < times {
		n, err := f.terminal.Read(b)
		f.seen.Write(b[:n])
		if err != nil {
			t.Fatalf("no %q: %v\n%q", text, err, f.seen.String())
		}
	}
}

func TestShowFollows(t *testing.T) {
	f := startFollowed(t)
	f.readUntil(t, "unfinished", 1)
	f.readUntil(t, "Load", 2) // frames, the second in place of the first
	f.readUntil(t, "\x1b[J", 2)
	if err := f.hold.Close(); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(f.terminal) // ends with an error when the program does
	f.seen.Write(rest)
	if err := f.show.Wait(); err != nil {
		t.Errorf("%v\n%q", err, f.seen.String())
	}
	out := f.seen.String()
	if !strings.HasPrefix(out, "\x1b[?25l") || !strings.Contains(out, "F\x1b[") || !strings.HasSuffix(out, "\x1b[?25h") {
		t.Errorf("not drawn in place, or without the cursor at the end: %q", out)
	}
	last := out[strings.LastIndex(out, "\x1b[J"):]
	if !strings.Contains(last, "exited 0") || strings.Contains(last, "unfinished") || strings.Count(last, "Load") != 1 {
		t.Errorf("at the end: %q", last)
	}
}

func TestInterruptEndsFollowing(t *testing.T) {
	f := startFollowed(t)
	f.readUntil(t, "Load", 1)
	if _, err := f.terminal.Write([]byte{3}); err != nil { // Ctrl-C
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(f.terminal)
	var exit *exec.ExitError
	if err := f.show.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("ended: %v", err)
	}
	if !bytes.HasSuffix(rest, []byte("\x1b[?25h")) {
		t.Errorf("the cursor is not back: %q", rest)
	}
}

func TestScreen(t *testing.T) {
	var out bytes.Buffer
	s := &screen{w: &out}
	draw := func(frame string, columns, lines int) string {
		t.Helper()
		out.Reset()
		if err := s.draw([]byte(frame), columns, lines); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	const begin, end = "\x1b[?25l\x1b[?7l", "\x1b[J\x1b[?7h"
	for _, step := range []struct {
		frame          string
		columns, lines int
		want           string
	}{
		{"a\nb\n", 80, 24, begin + "a\x1b[K\nb\x1b[K\n" + end},
		{"a\nb\n", 80, 24, ""},
		{"a\n", 80, 24, begin + "\x1b[2Fa\x1b[K\n" + end},
		{"1\n2\n3\n4\n", 80, 3, begin + "\x1b[2J\x1b[H1\x1b[K\n2\x1b[K\n" + end}, // cut to the terminal
		{"x\n", 80, 3, begin + "\x1b[2Fx\x1b[K\n" + end},
	} {
		if got := draw(step.frame, step.columns, step.lines); got != step.want {
			t.Errorf("%q on %d×%d: %q, want %q", step.frame, step.columns, step.lines, got, step.want)
		}
	}
}
