package supervise

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is when a test gives up on something that should have happened.
const patience = 30 * time.Second

// fence is sent to a supervisor after another signal: once it is seen, the other has been dealt with, since signals
// that are pending together are taken lowest first.
const fence = syscall.Signal(64)

func init() {
	roles["probe"] = probe
	roles["shell"] = func(args []string) { // a shell script that ends in a supervisor
		os.Setenv(roleVariable, "run")
		self, _ := os.Executable()
		argv := append([]string{"sh", "-c", args[0], self}, args[1:]...)
		panic(syscall.Exec("/bin/sh", argv, os.Environ()))
	}
}

// probe is a command that reports on descriptor 3: a line "ready PID PARENT", then "got SIGNAL" for each signal. It
// ignores those named in args, and exits 5 when its standard input ends.
func probe(args []string) {
	report := os.NewFile(3, "report")
	got := notifyAll(args...)
	fmt.Fprintf(report, "ready %d %d\n", os.Getpid(), os.Getppid())
	go func() {
		for sig := range got {
			fmt.Fprintf(report, "got %s\n", signalName(sig.(syscall.Signal)))
		}
	}()
	io.Copy(io.Discard, os.Stdin)
	os.Exit(5)
}

// notifyAll asks for every signal but those that it ignores.
func notifyAll(ignored ...string) <-chan os.Signal {
	var list []os.Signal
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		switch sig {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGURG, unix.SIGPROF, 32, 33, 34:
			continue
		}
		if slices.Contains(ignored, unix.SignalName(sig)) {
			signal.Ignore(sig)
		} else {
			list = append(list, sig)
		}
	}
	got := make(chan os.Signal, 64)
	signal.Notify(got, list...)
	return got
}

func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return fmt.Sprint(int(sig))
}

// supervisor is a supervising process and, below it, its command.
type supervisor struct {
	t      *testing.T
	pid    int
	stdin  *os.File      // the command's; closing it ends a probe or a cat
	report *bufio.Reader // what the command writes to descriptor 3
	ended  bool

	commandPID int // a probe's
}

// supervise starts args under a supervisor in a process group of its own, which is what a shell with job control does.
func supervise(t *testing.T, args ...string) *supervisor {
	t.Helper()
	return superviseAs(t, "run", args...)
}

func superviseAs(t *testing.T, role string, args ...string) *supervisor {
	t.Helper()
	return superviseWith(t, &syscall.SysProcAttr{Setpgid: true}, role, args...)
}

func superviseWith(t *testing.T, attributes *syscall.SysProcAttr, role string, args ...string) *supervisor {
	t.Helper()
	stdinR, stdinW := pipe(t)
	reportR, reportW := pipe(t)
	devNull, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer devNull.Close()
	s := &supervisor{t: t, stdin: stdinW, report: bufio.NewReader(reportR)}
	process, err := os.StartProcess(testBinary(t), append([]string{"supervisor"}, args...), &os.ProcAttr{
		Env:   append(os.Environ(), roleVariable+"="+role),
		Files: []*os.File{stdinR, devNull, os.Stderr, reportW},
		Sys:   attributes,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.pid = process.Pid
	process.Release() // we wait by pid, for stops too
	stdinR.Close()
	reportW.Close()
	watchdog := time.AfterFunc(patience, func() { syscall.Kill(-s.pid, syscall.SIGKILL) })
	t.Cleanup(func() {
		watchdog.Stop()
		if !s.ended {
			syscall.Kill(-s.pid, syscall.SIGKILL)
			s.wait()
		}
	})
	return s
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func testBinary(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// line reads one line of the command's report; it is empty at the end.
func (s *supervisor) line() string {
	line, _ := s.report.ReadString('\n')
	return strings.TrimSuffix(line, "\n")
}

// expect reads a line of the command's report that must be want.
func (s *supervisor) expect(want string) {
	s.t.Helper()
	if got := s.line(); got != want {
		s.t.Fatalf("the command reported %q, want %q", got, want)
	}
}

// ready waits for a probe and returns its pid.
func (s *supervisor) ready() int {
	s.t.Helper()
	var pid, parent int
	line := s.line()
	if _, err := fmt.Sscanf(line, "ready %d %d", &pid, &parent); err != nil {
		s.t.Fatalf("the command reported %q", line)
	}
	if parent != s.pid {
		s.t.Errorf("the command's parent is %d, want %d", parent, s.pid)
	}
	return pid
}

func (s *supervisor) kill(sig syscall.Signal) {
	s.t.Helper()
	if err := syscall.Kill(s.pid, sig); err != nil {
		s.t.Fatal(err)
	}
}

// wait waits for the supervisor's next stop, continuation or end.
func (s *supervisor) wait() syscall.WaitStatus {
	s.t.Helper()
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(s.pid, &status, syscall.WUNTRACED|syscall.WCONTINUED, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			s.t.Fatal(err)
		}
		s.ended = status.Exited() || status.Signaled()
		return status
	}
}

// dies checks that the supervisor ends by a signal.
func (s *supervisor) dies(sig syscall.Signal) {
	s.t.Helper()
	if status := s.wait(); !status.Signaled() || status.Signal() != sig {
		s.t.Fatalf("the supervisor ended with %#x, want %v", uint32(status), sig)
	}
}

// exits checks that the supervisor ends with an exit code.
func (s *supervisor) exits(code int) {
	s.t.Helper()
	if status := s.wait(); !status.Exited() || status.ExitStatus() != code {
		s.t.Fatalf("the supervisor ended with %#x, want exit code %d", uint32(status), code)
	}
}

// stops checks that the supervisor stops by sig, and its command with it.
func (s *supervisor) stops(sig syscall.Signal) {
	s.t.Helper()
	if status := s.wait(); !status.Stopped() || status.StopSignal() != sig {
		s.t.Fatalf("the supervisor's status is %#x, want a stop by %v", uint32(status), sig)
	}
}

func (s *supervisor) continues() {
	s.t.Helper()
	if status := s.wait(); !status.Continued() {
		s.t.Fatalf("the supervisor's status is %#x, want continued", uint32(status))
	}
}

// superviseProbe starts a probe that ignores some signals and waits until it is ready.
func superviseProbe(t *testing.T, ignored ...string) *supervisor {
	t.Helper()
	s := supervise(t, append([]string{"env", roleVariable + "=probe", testBinary(t)}, ignored...)...)
	s.commandPID = s.ready()
	return s
}

// maskOf is how /proc/PID/status writes the set of one signal.
func maskOf(sig syscall.Signal) string { return fmt.Sprintf("%016x", uint64(1)<<(sig-1)) }
