package proctree

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A process may be asked about at any time, by anyone.
func TestConcurrentUse(t *testing.T) {
	for name, options := range modes(t) {
		t.Run(name, func(t *testing.T) {
			w := New(options)
			cmd := exec.Command("sh", "-c", "for i in $(seq 50); do /bin/true; done; exit 3")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			end := make(chan bool)
			var group sync.WaitGroup
			for range 4 {
				group.Go(func() {
					for {
						select {
						case <-end:
							return
						default:
						}
						for _, p := range w.Processes() {
							w.Lookup(p.PID)
						}
						w.Coverage()
					}
				})
			}
			w.Follow(cmd.Process.Pid)
			w.Follow(1) // too late
			if id, ok := w.Lookup(cmd.Process.Pid); !ok || id.Start == 0 {
				t.Errorf("the root is %v, %v", id, ok)
			}
			_ = cmd.Wait()
			state := cmd.ProcessState
			w.Reaped(cmd.Process.Pid, state.Sys().(syscall.WaitStatus), state.SysUsage().(*syscall.Rusage))
			close(end)
			group.Wait()
			w.Stop()
			w.Stop()
			if root := w.Processes()[0]; how(root) != "code 3" || root.PID != cmd.Process.Pid {
				t.Errorf("the root is wrong:\n%s", Table([]Process{root}))
			}
		})
	}
}

// A command that is over before it is watched is known all the same.
func TestReapedBeforeFollow(t *testing.T) {
	for name, options := range modes(t) {
		t.Run(name, func(t *testing.T) {
			w := New(options)
			defer w.Stop()
			cmd := exec.Command("sh", "-c", "kill -KILL $$")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			pid := cmd.Process.Pid
			var info unix.Siginfo
			for unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
			}
			w.Reaped(pid, syscall.WaitStatus(unix.SIGKILL), &syscall.Rusage{})
			_ = cmd.Wait()
			w.Follow(pid)
			w.Stop()
			list := w.Processes()
			if len(list) != 1 || how(list[0]) != "signal 9" || list[0].Start == 0 || list[0].OOMKilled {
				t.Errorf("the tree is wrong:\n%s", Table(list))
			}
		})
	}
}

// Nothing happens when nobody is followed.
func TestStopWithoutFollow(t *testing.T) {
	w := New(Options{})
	w.Reaped(1, 0, nil)
	w.Stop()
	if list := w.Processes(); len(list) != 0 {
		t.Errorf("%d processes", len(list))
	}
}

// In a pid namespace of its own, where the kernel tells of no events, a pid is used again at once.
func TestPidReuseInNamespace(t *testing.T) {
	encoded, err := json.Marshal(Options{Subreaper: true})
	if err != nil {
		t.Fatal(err)
	}
	r, report, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(os.Args[0], string(encoded), "env", roleVariable+"=reuse", os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"=container")
	cmd.ExtraFiles = []*os.File{report}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	report.Close()
	var w watched
	decodeErr := json.NewDecoder(r).Decode(&w)
	if err != nil || decodeErr != nil {
		t.Logf("NOT TESTED, the system does not permit it: %v %v %s", err, decodeErr, out)
		return
	}
	first, second := w.find(t, "sleep|0.21"), w.find(t, "sleep|0.22")
	if first.PID != second.PID || first.ID == second.ID || how(first) != "code 0" || how(second) != "code 0" ||
		w.Coverage.Events || !slices.ContainsFunc(w.Processes, func(p Process) bool { return p.ID == first.Parent }) {
		t.Errorf("%s the tree is wrong, %+v:\n%s", out, w.Coverage, Table(w.Processes))
	}
}

// A watcher that is stopped as soon as it knows its root has still looked, and says how it could.
func TestStopAtOnce(t *testing.T) {
	events := eventsPermitted(t)
	for range 50 {
		w := New(Options{})
		w.Follow(os.Getpid())
		w.Stop()
		if c := w.Coverage(); c.Events != events || c.Forks < 0 {
			t.Fatalf("%+v, events are permitted: %v", c, events)
		}
		if list := w.Processes(); len(list) == 0 || list[0].PID != os.Getpid() || len(list[0].Args) == 0 {
			t.Fatalf("%+v", list)
		}
	}
}
