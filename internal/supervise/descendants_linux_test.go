package supervise

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	roles["terminate"] = func(args []string) { terminateRole(args) }
}

// terminateRole waits for a line from its command on descriptor 3, terminates the command with the grace of its first
// argument and tells how it ended and how many descendants are left.
func terminateRole(args []string) {
	grace, err := time.ParseDuration(args[0])
	if err != nil {
		panic(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	p := mustStart(Command{Path: args[1], Args: args[2:], Stdout: w})
	w.Close()
	bufio.NewReader(r).ReadString('\n')
	o := p.Terminate(grace)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	fmt.Printf("code %d signal %d left %d\n", o.Code, o.Signal, len(p.Descendants(ctx)))
}

func TestTerminate(t *testing.T) {
	for _, test := range []struct{ name, grace, script, want string }{
		{"dies", "1m", `echo up; exec sleep 1000`, "code -1 signal 15 left 0"},
		{"handles", "1m", `trap 'exit 4' TERM; echo up; while :; do sleep 0.01; done`, "code 4 signal 0 left 0"},
		{"stopped", "1m", `echo up; kill -STOP $$; exec sleep 1000`, "code -1 signal 15 left 0"},
		{"ignores", "50ms", `trap '' TERM; echo up; exec sleep 1000`, "code -1 signal 9 left 0"},
		{"worker", "2s", `sleep 1000 & echo up; exec sleep 1000`, "code -1 signal 15 left 0"},
		{"tree", "400ms", `sh -c 'sh -c "sleep 1000; :"; :' & echo up; exec sleep 1000`, "code -1 signal 15 left 0"},
		{"deaf worker", "100ms", `(trap '' TERM; exec sleep 1000) & echo up; exec sleep 1000`, "code -1 signal 15 left 0"},
		{"daemon", "100ms", `setsid sh -c 'trap "" TERM; sleep 1000; :' & echo up; exec sleep 1000`,
			"code -1 signal 15 left 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(testBinary(t), test.grace, "sh", "-c", test.script)
			cmd.Env = append(os.Environ(), roleVariable+"=terminate")
			cmd.Stderr = os.Stderr
			// The output ends only when nobody holds it: whatever was started has ended.
			out, err := cmd.Output()
			if err != nil || strings.TrimSpace(string(out)) != test.want {
				t.Errorf("%s, %v; want %s", out, err, test.want)
			}
		})
	}
}

// What the command leaves is adopted, waited for and reaped; our status is the command's all the same.
func TestDescendantsAreWaitedFor(t *testing.T) {
	stdinR, stdinW := pipe(t)
	// Ten daemons that fork twice and live until their standard input ends. (A shell gives a background process
	// /dev/null unless it has been told otherwise.)
	cmd := exec.Command(testBinary(t), "sh", "-c",
		`for i in 0 1 2 3 4 5 6 7 8 9; do (setsid cat <&0 >/dev/null &) ; done; exit 6`)
	cmd.Env = append(os.Environ(), roleVariable+"=run", "SUPERVISE_LINGER=1")
	cmd.Stdin = stdinR
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stdinR.Close()
	stdinW.Close()
	text, _ := io.ReadAll(out)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 6 || string(text) != "left: 0\n" {
		t.Errorf("exit %d, output %q", code, text)
	}
}

// Orphans are reaped while the command runs: it sees their pids disappear.
func TestOrphansAreReaped(t *testing.T) {
	out := shell(t, "sh", `$RUN sh -c 'for i in 0 1 2 3 4 5 6 7 8 9; do
		pid=$( (sh -c "echo \$\$" &) )
		while kill -0 $pid 2>/dev/null; do :; done
	done; echo reaped'`)
	if out != "reaped\n" {
		t.Errorf("output %q", out)
	}
}

func TestGrandchildHoldingOutput(t *testing.T) {
	for _, role := range []string{"run", "noSubreaper"} {
		s := superviseAs(t, role, "sh", "-c", `sh -c 'echo up >&3; exec cat' <&0 & exit 3`)
		s.exits(3) // although the grandchild has our output and lives
		s.expect("up")
		s.stdin.Close()
		s.expect("")
	}
}

// A signal that comes after the end cuts short the waiting, and does not end us.
func TestInterruptedWaitingForDescendants(t *testing.T) {
	t.Setenv("SUPERVISE_LINGER", "report")
	s := supervise(t, "sh", "-c", `cat <&0 & exit 3`)
	s.expect("ended")
	s.kill(unix.SIGTERM)
	s.exits(3)
	s.stdin.Close()
	s.expect("")
}

// A Process that was closed leaves signals and children alone.
func TestClose(t *testing.T) {
	r, w := pipe(t)
	p, err := Start(Command{Path: "cat", Stdin: r, NoSubreaper: true})
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	p.Close()
	w.Close()
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(p.PID(), &status, 0, nil); err != nil || !status.Exited() {
		t.Errorf("status %#x, %v", uint32(status), err)
	}
}
