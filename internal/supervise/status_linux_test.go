package supervise

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func init() {
	roles["spew"] = func([]string) { spew(os.Stdout) }
	roles["busy"] = func([]string) { // takes 256 MiB and some CPU time
		memory := bytes.Repeat([]byte{1}, 256<<20)
		os.Exit(3 + bytes.Count(memory, []byte{2}))
	}
}

// spew writes 100 MB that are the same each time.
func spew(w io.Writer) {
	random := rand.NewChaCha8([32]byte{1})
	if _, err := io.CopyN(w, random, 100_000_000); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// shell runs a script in which $RUN is a supervisor, and returns what it wrote to both of its outputs.
func shell(t *testing.T, interpreter, script string) string {
	t.Helper()
	cmd := exec.Command(interpreter, "-c", script)
	cmd.Env = append(os.Environ(), "RUN=env "+roleVariable+"=run "+testBinary(t))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out)
}

func TestStatusSeenByShell(t *testing.T) {
	for _, test := range []struct{ script, want string }{
		{`$RUN true; echo $?`, "0\n"},
		{`$RUN sh -c 'exit 7'; echo $?`, "7\n"},
		{`$RUN sh -c 'exit 255'; echo $?`, "255\n"},
		{`$RUN sh -c 'kill -TERM $$'; echo $?`, "Terminated\n143\n"},
		{`$RUN sh -c 'kill -INT $$'; echo $?`, "130\n"},
		{`$RUN sh -c 'kill -KILL $$'; echo $?`, "Killed\n137\n"},
		{`$RUN $RUN sh -c 'kill -HUP $$'; echo $?`, "Hangup\n129\n"},
		{`echo in | $RUN cat; $RUN cat </dev/null`, "in\n"},
		{`$RUN sh -c 'echo $0 "$@"' a 'b c' ''`, "a b c \n"},
		{`$RUN sh -c 'echo on three >&3' 3>&1`, "on three\n"},
	} {
		if got := shell(t, "sh", test.script); got != test.want {
			t.Errorf("%s: %q, want %q", test.script, got, test.want)
		}
	}
}

// Every signal that ends a process ends the supervisor of one in the same way, without a word of the Go runtime's.
func TestEndsBySameSignal(t *testing.T) {
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		switch sig {
		case unix.SIGCHLD, unix.SIGCONT, unix.SIGURG, unix.SIGWINCH, unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
			continue // ends nothing
		case 32, 33:
			continue // a shell cannot be killed by libc's own
		}
		cmd := exec.Command(testBinary(t), "sh", "-c", fmt.Sprintf("ulimit -c 0; kill -%d $$", sig))
		cmd.Env = append(os.Environ(), roleVariable+"=run")
		out, _ := cmd.CombinedOutput()
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !status.Signaled() || status.Signal() != sig || len(out) > 0 {
			t.Errorf("%v: status %#x, output %q", sig, uint32(status), out)
		}
	}
}

func TestNotStarted(t *testing.T) {
	dir := t.TempDir()
	files := map[string]struct {
		content string
		mode    os.FileMode
	}{
		"script":         {"echo script $0 $1\nexit 9\n", 0o755},
		"empty":          {"", 0o755},
		"plain":          {"echo no\n", 0o644},
		"later/plain":    {"#!/bin/sh\necho later\n", 0o755},
		"badInterpreter": {"#!/no/such/interpreter -x\n", 0o755},
		"binary":         {"\x7fELF\x00\x01\x02\n", 0o755},
	}
	for name, file := range files {
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(file.content), file.mode); err != nil {
			t.Fatal(err)
		}
	}
	os.Mkdir(filepath.Join(dir, "folder"), 0o755)
	for _, test := range []struct {
		command, path string
		status        int
		says          string // after the prefix
	}{
		{"no-such-program", "PATH", 127, "command not found in PATH"},
		{"", "PATH", 127, "command not found in PATH"},
		{"folder", "PATH", 127, "command not found in PATH"},
		{"plain", "PATH", 126, "PATH/plain is not executable: permission denied"},
		{"plain", "PATH:PATH/later", 0, "later\n"},
		{"PATH/none", "", 127, "no such file or directory"},
		{"PATH/script/none", "", 127, "not a directory"},
		{"PATH/folder", "", 126, "is a directory"},
		{"PATH/plain", "", 126, "PATH/plain is not executable: permission denied"},
		{"PATH/badInterpreter", "", 127, "its interpreter /no/such/interpreter is not there: no such file or directory"},
		{"PATH/binary", "", 126, "exec format error (a program for another system?)"},
		{"script", "PATH", 9, "script PATH/script arg\n"},
		{"PATH/empty", "", 0, ""},
		{"PATH/" + strings.Repeat("x", 300), "", 126, "file name too long"},
	} {
		command, path := strings.ReplaceAll(test.command, "PATH", dir), strings.ReplaceAll(test.path, "PATH", dir)
		cmd := exec.Command(testBinary(t), command, "arg")
		cmd.Env = []string{roleVariable + "=run", "PATH=" + path}
		out, _ := cmd.CombinedOutput()
		want := strings.ReplaceAll(test.says, "PATH/", dir+"/")
		if test.status > 100 {
			want = fmt.Sprintf("run %q: %s\n", command, want)
		}
		if code := cmd.ProcessState.ExitCode(); code != test.status || string(out) != want {
			t.Errorf("%s: exit %d, output %q\nwant %d, %q", test.command, code, out, test.status, want)
		}
	}
}

func TestSearchPath(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("here", []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, want string
		env        []string
	}{
		{"sh", "/bin/sh", []string{"PATH=/nowhere:/bin"}},
		{"sh", "/bin/sh", []string{"PATH=/nowhere", "PATH=/bin"}},
		{"sh", "/usr/bin/sh", nil},
		{"here", "./here", []string{"PATH=/bin::/usr/bin"}},
		{"here", "./here", []string{"PATH="}},
	} {
		if got, err := lookup(test.name, test.env); got != test.want || err != nil {
			t.Errorf("%s with %q: %s, %v; want %s", test.name, test.env, got, err, test.want)
		}
	}
}

func TestOutputByteForByte(t *testing.T) {
	want, got := sha256.New(), sha256.New()
	spew(want)
	cmd := exec.Command(testBinary(t), "env", roleVariable+"=spew", testBinary(t))
	cmd.Env = append(os.Environ(), roleVariable+"=run")
	cmd.Stdout = got
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Error("the output is not the command's")
	}
}

func TestOutputClosedEarly(t *testing.T) {
	if got, want := shell(t, "bash", `$RUN yes | head -1; echo ${PIPESTATUS[*]}`), "y\n141 0\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestOutcomeFigures(t *testing.T) {
	const size = 256 << 20
	cmd := Command{Path: testBinary(t), Env: append(os.Environ(), roleVariable+"=busy"), NoSubreaper: true}
	p, err := Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	o := p.Outcome()
	if o.Code != 3 || o.Signal != 0 || o.User <= 0 || o.MaxRSS < size || o.MaxRSS > 8*size || !o.End.After(p.Started()) {
		t.Errorf("%+v", o)
	}
}
