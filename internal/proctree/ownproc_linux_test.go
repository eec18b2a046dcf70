package proctree

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A proc file system of other processes is not read, and it is said that nothing was watched.
func TestForeignProc(t *testing.T) {
	f := newFakeProc(t)
	self := filepath.Join(f.root, "self")
	if err := os.Remove(self); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("1", self); err != nil {
		t.Fatal(err)
	}
	w := Watch(fakeRoot, Options{NoEvents: true, proc: f.root})
	f.put(stat{pid: 101, comm: "stranger", parent: fakeRoot, start: 1001})
	w.Stop()
	if list := w.Processes(); len(list) != 1 || list[0].Program != "" || list[0].Args != nil {
		t.Errorf("seen:\n%s", Table(list))
	}
	if !w.Coverage().Unwatched {
		t.Error("it is said that the processes were watched")
	}
}

// What cannot be seen in /proc may live all the same.
func TestUnseenMayLive(t *testing.T) {
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	w := &Watcher{system: system{proc: newProcfs(t.TempDir())}}
	for pid, want := range map[int]bool{os.Getpid(): false, 1: false, ended.Process.Pid: true} {
		if _, gone := w.find(&node{Process: Process{ID: ID{PID: pid}}}); gone != want {
			t.Errorf("pid %d is gone: %v", pid, gone)
		}
	}
}
