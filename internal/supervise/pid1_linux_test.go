package supervise

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func init() {
	roles["container"] = func(args []string) { // mounts the /proc of its namespace and becomes a supervisor
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			panic(err)
		}
		if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
			panic(err)
		}
		self, _ := os.Executable()
		panic(syscall.Exec(self, append([]string{self}, args...), append(os.Environ(), roleVariable+"=run")))
	}
}

// namespace makes a process PID 1, without being root where the system allows it.
func namespace() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Setpgid: true, Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		attributes.Cloneflags |= unix.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return attributes
}

// namespacesPermitted tells whether PID 1 can be played here: not in most containers.
func namespacesPermitted(t *testing.T) bool {
	cmd := exec.Command(testBinary(t), "true")
	cmd.Env = append(os.Environ(), roleVariable+"=container")
	cmd.SysProcAttr = namespace()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Logf("NOT TESTED, the system does not permit a PID namespace: %v %s", err, out)
		return false
	}
	return true
}

func TestPID1(t *testing.T) {
	if !namespacesPermitted(t) {
		return
	}
	start := func(script string) *supervisor {
		return superviseWith(t, namespace(), "container", "sh", "-c", script)
	}
	for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGUSR1} {
		s := start(`echo up $PPID >&3; exec cat`)
		s.expect("up 1")
		s.kill(sig)
		s.exits(128 + int(sig))
	}
	s := start(`exit 7`)
	s.exits(7)

	// A stop is for the command alone: the kernel stops no PID 1. CONT comes through.
	s = start(`echo up >&3; exec cat`)
	s.expect("up")
	if err := syscall.Kill(children(s.pid)[0], unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.kill(unix.SIGCONT)
	s.stdin.Close()
	s.exits(0)

	// Orphans are reaped: their pids disappear.
	s = start(`pid=$( (sh -c 'echo $$' &) ); while kill -0 $pid 2>/dev/null; do :; done; echo reaped >&3`)
	s.expect("reaped")
	s.exits(0)
}
