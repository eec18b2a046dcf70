package proctree

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
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

// Who follows a process late knows when it started all the same.
func TestFollowLate(t *testing.T) {
	self, err := newProcfs("").stat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	began := readClocks().atTick(self.start)
	for time.Since(began) < 5*tick { // late it is
	}
	w := Watch(os.Getpid(), Options{NoEvents: true})
	defer w.Stop()
	if root := w.Processes()[0]; root.Started.Before(began.Add(-tick)) || root.Started.After(began.Add(2*tick)) {
		t.Errorf("it began at %v, and is said to have at %v", began, root.Started)
	}
}

// A child that was found by a coarse clock does not start before its parent.
func TestChildAfterParent(t *testing.T) {
	var tr tree
	tr.init(10)
	now := time.Now()
	tr.setRoot(ID{PID: 1, Start: 5}, now)
	if child := tr.fork(tr.root, ID{PID: 2, Start: 5}, now.Add(-tick/2)); !child.Started.Equal(now) {
		t.Errorf("started %v before its parent", now.Sub(child.Started))
	}
}
