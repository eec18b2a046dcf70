package supervise

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

var matrix = []syscall.Signal{
	unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGTSTP,
}

// plainCommand has every signal at its default.
var plainCommand = []string{"sh", "-c", "echo up >&3; exec cat"}

func TestSignalEndsCommand(t *testing.T) {
	for _, sig := range matrix {
		t.Run(signalName(sig), func(t *testing.T) {
			s := supervise(t, plainCommand...)
			s.expect("up")
			s.kill(sig)
			switch sig {
			case unix.SIGWINCH: // ends nothing
				s.kill(unix.SIGTERM)
				s.dies(unix.SIGTERM)
			case unix.SIGTSTP:
				s.stops(unix.SIGTSTP)
				s.kill(unix.SIGCONT)
				s.continues()
				s.stdin.Close() // the command can see that only when it runs again
				s.exits(0)
			default:
				s.dies(sig)
			}
		})
	}
}

func TestSignalIgnoredByCommand(t *testing.T) {
	for _, sig := range matrix {
		t.Run(signalName(sig), func(t *testing.T) {
			s := superviseProbe(t, signalName(sig))
			s.kill(sig)
			s.kill(fence)
			s.expect("got 64")
			s.stdin.Close()
			s.exits(5)
		})
	}
}

func TestSignalHandledByCommand(t *testing.T) {
	s := superviseProbe(t)
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		switch sig {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGTTIN, unix.SIGTTOU,
			unix.SIGXFSZ, unix.SIGPROF, 32, 33, 34:
			continue // not sent on
		}
		s.kill(sig)
		s.expect("got " + signalName(sig))
	}
	for _, sig := range []syscall.Signal{unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGXFSZ} {
		s.kill(sig)
	}
	s.kill(fence)
	s.expect("got 64")
	s.stdin.Close()
	s.exits(5)
}

func TestStopAndContinue(t *testing.T) {
	s := superviseProbe(t, "SIGTSTP", "SIGTTIN", "SIGTTOU")
	for range 3 {
		// The command ignores TSTP, so we do not stop either; that we are stopped from without is no matter.
		s.kill(unix.SIGTSTP)
		s.kill(fence) // a stop signal that came late would undo the CONT
		s.expect("got 64")
		s.kill(unix.SIGSTOP)
		s.stops(unix.SIGSTOP)
		s.kill(unix.SIGCONT)
		s.continues()
		s.expect("got SIGCONT")
	}
	s.stdin.Close()
	s.exits(5)
}

func TestCommandStoppedDirectlyWithoutTerminal(t *testing.T) {
	if foreground() != 0 {
		t.Log("there is a terminal: covered by the tests of job control")
		return
	}
	s := superviseProbe(t)
	command := s.commandPID
	syscall.Kill(command, unix.SIGSTOP)
	syscall.Kill(command, unix.SIGCONT)
	s.expect("got SIGCONT")
	syscall.Kill(command, unix.SIGSTOP)
	s.kill(unix.SIGCONT) // we are not stopped: we pass it on
	s.expect("got SIGCONT")
	s.stdin.Close()
	s.exits(5)
}

func TestIgnoredAtStart(t *testing.T) {
	for _, sig := range []string{"HUP", "INT", "TSTP", "TTIN", "TTOU"} {
		t.Run(sig, func(t *testing.T) {
			script := `trap '' ` + sig + `; exec "$0" "$@"`
			s := superviseAs(t, "shell", script, "sh", "-c", `grep SigIgn /proc/self/status >&3; exec cat`)
			mask := strings.TrimSpace(strings.TrimPrefix(s.line(), "SigIgn:"))
			n := unix.SignalNum("SIG" + sig)
			ignored, err := strconv.ParseUint(mask, 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			// glibc's posix_spawn, as in make, leaves its internal signals ignored in what it starts, here this test.
			ignored &^= 0b11 << (32 - 1)
			if got, want := fmt.Sprintf("%016x", ignored), maskOf(n); got != want {
				t.Errorf("ignored in the command: %s, want %s", got, want)
			}
			s.kill(n)
			s.kill(unix.SIGTERM)
			s.dies(unix.SIGTERM)
		})
	}
}

func TestSignalMaskIsInherited(t *testing.T) {
	own, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Fatal(err)
	}
	s := supervise(t, "sh", "-c", `grep -E 'SigBlk|SigIgn' /proc/self/status >&3`)
	for range 2 {
		if line := s.line(); !strings.Contains(string(own), "\n"+line+"\n") {
			t.Errorf("the command has %s, we have\n%s", line, own)
		}
	}
	s.exits(0)
}

// The Go runtime unblocks the signals that end a program before we can see to it.
func TestBlockedSignals(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var set, before unix.Sigset_t
	for _, sig := range []syscall.Signal{unix.SIGUSR1, unix.SIGTERM} {
		set.Val[0] |= 1 << (sig - 1)
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, &before); err != nil {
		t.Fatal(err)
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
	s := supervise(t, "sed", "-n", "/SigBlk/w /dev/fd/3", "/proc/self/status") // some shells unblock signals
	if got, want := strings.TrimSpace(strings.TrimPrefix(s.line(), "SigBlk:")), maskOf(unix.SIGUSR1); got != want {
		t.Errorf("blocked in the command: %s, want %s", got, want)
	}
	s.exits(0)
}

func TestKilledSupervisorLeavesCommand(t *testing.T) {
	s := superviseProbe(t)
	s.kill(unix.SIGKILL)
	s.dies(unix.SIGKILL)
	syscall.Kill(s.commandPID, unix.SIGUSR1)
	s.expect("got SIGUSR1")
	s.stdin.Close()
	s.expect("") // it has ended
}
