package proctree

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fakeProc is a proc file system of files, with a watcher that has begun and is driven by hand.
type fakeProc struct {
	t    *testing.T
	root string
	w    *Watcher
}

const fakeRoot = 100

func newFakeProc(t *testing.T) *fakeProc {
	t.Helper()
	f := &fakeProc{t: t, root: t.TempDir()}
	f.write("sys/kernel/pid_max", "1000")
	f.write("stat", "cpu 1\nprocesses 10\n")
	if err := os.Symlink(strconv.Itoa(os.Getpid()), filepath.Join(f.root, "self")); err != nil {
		t.Fatal(err)
	}
	f.last(fakeRoot)
	f.put(stat{pid: fakeRoot, comm: "root", parent: os.Getpid(), start: 1000})
	f.w = &Watcher{options: Options{Subreaper: true, Limit: 1000, proc: f.root}}
	f.w.tree.init(1000)
	f.w.prepare()
	t.Cleanup(func() { f.w.poller.close(); f.w.proc.close() })
	f.w.tree.setRoot(ID{PID: fakeRoot}, time.Now())
	f.w.oom.log = -1
	f.w.start(time.Now())
	return f
}

func (f *fakeProc) write(path, content string) {
	f.t.Helper()
	path = filepath.Join(f.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// put makes a process. Its session is that of its first thread's pid where none is given.
func (f *fakeProc) put(s stat) {
	if s.state == 0 {
		s.state = 'S'
	}
	s.threads = max(s.threads, 1)
	dir := strconv.Itoa(s.pid)
	f.write(dir+"/stat", statLine(s))
	f.write(dir+"/status", fmt.Sprintf("Name:\tx\nTgid:\t%d\nVmHWM:\t%d kB\n", s.pid, s.pid))
	f.write(dir+"/cmdline", s.comm+"\x00arg\x00")
}

func (f *fakeProc) remove(pid int) {
	if err := os.RemoveAll(filepath.Join(f.root, strconv.Itoa(pid))); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fakeProc) last(pid int) { f.write("loadavg", fmt.Sprintf("0.0 0.0 0.0 1/2 %d\n", pid)) }

// look makes the watcher look, and returns its processes as "PID.START<PARENT program", with a dagger behind those that
// have ended.
func (f *fakeProc) look() string {
	w := f.w
	w.mu.Lock()
	w.lookForBirths(readClocks())
	w.mu.Unlock()
	var list []string
	for _, p := range w.Processes() {
		text := fmt.Sprintf("%d.%d<%d %s", p.PID, p.Start, p.Parent.PID, p.Program)
		if !p.Ended.IsZero() {
			text += "†"
		}
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}

func (f *fakeProc) expect(want string) {
	f.t.Helper()
	if got := f.look(); got != want {
		f.t.Errorf("the tree is\n%s, want\n%s", got, want)
	}
}

func TestPidReuse(t *testing.T) {
	f := newFakeProc(t)
	f.put(stat{pid: 101, comm: "first", parent: fakeRoot, start: 1100})
	f.last(101)
	f.expect("100.1000<0 root, 101.1100<100 first")

	// The same pid again, as one of the tree.
	f.last(150)
	f.look()
	f.put(stat{pid: 101, comm: "second", parent: fakeRoot, start: 1200})
	f.last(101)
	f.expect("100.1000<0 root, 101.1100<100 first†, 101.1200<100 second")
	if id, ok := f.w.Lookup(101); !ok || id != (ID{101, 1200}) {
		t.Errorf("the pid is that of %v, %v", id, ok)
	}

	// And as one of others, with a child.
	f.last(150)
	f.look()
	f.put(stat{pid: 101, comm: "foreign", parent: 1, start: 1300})
	f.put(stat{pid: 102, comm: "foreign's", parent: 101, start: 1301})
	f.last(102)
	f.expect("100.1000<0 root, 101.1100<100 first†, 101.1200<100 second†")
	if id, ok := f.w.Lookup(101); ok {
		t.Errorf("the pid is that of %v", id)
	}
}

func TestLookingAroundTheEndOfPids(t *testing.T) {
	f := newFakeProc(t)
	f.last(998)
	f.look()
	f.put(stat{pid: 999, comm: "last", parent: fakeRoot, start: 1100})
	f.put(stat{pid: 5, comm: "low", parent: 999, start: 1101})
	f.last(5)
	f.expect("100.1000<0 root, 999.1100<100 last, 5.1101<999 low")
}

// Children are found before their parents, whatever their pids, and those whose parents have gone by who has them now.
func TestFamilies(t *testing.T) {
	f := newFakeProc(t)
	f.put(stat{pid: 50, comm: "grandchild", parent: 60, start: 1102})
	f.put(stat{pid: 60, comm: "child", parent: 70, start: 1101})
	f.put(stat{pid: 70, comm: "parent", parent: fakeRoot, start: 1100})
	f.put(stat{pid: 80, comm: "orphan", parent: os.Getpid(), start: 1103})
	f.put(stat{pid: 81, comm: "older than the root", parent: os.Getpid(), start: 900})
	f.put(stat{pid: 82, comm: "another's", parent: 1, session: 7, group: 8, start: 1104})
	f.put(stat{pid: 83, comm: "daemon", parent: 1, session: 70, group: 9, start: 1105})
	f.put(stat{pid: 84, comm: "circle", parent: 85, start: 1106})
	f.put(stat{pid: 85, comm: "circle", parent: 84, start: 1106})
	f.w.births.inOrder = false // look through all
	f.expect("100.1000<0 root, 70.1100<100 parent, 60.1101<70 child, 50.1102<60 grandchild, 80.1103<0 orphan, 83.1105<0 daemon")
	f.remove(60)
	f.remove(50)
	f.expect("100.1000<0 root, 70.1100<100 parent, 60.1101<70 child†, 50.1102<60 grandchild†, 80.1103<0 orphan, 83.1105<0 daemon")
}

// A thread's files are like a process's.
func TestThreadInProc(t *testing.T) {
	f := newFakeProc(t)
	f.put(stat{pid: 101, comm: "thread", parent: fakeRoot, start: 1100})
	f.write("101/status", "Name:\tthread\nTgid:\t100\n")
	f.last(101)
	f.expect("100.1000<0 root")
}

// Where pids are not given in order all processes are looked through from then on.
func TestPidsOutOfOrder(t *testing.T) {
	f := newFakeProc(t)
	f.put(stat{pid: 300, comm: "hidden", parent: fakeRoot, start: 1100})
	f.expect("100.1000<0 root")
	f.w.births.allAt = time.Time{}
	f.expect("100.1000<0 root, 300.1100<100 hidden")
	f.put(stat{pid: 301, comm: "next", parent: fakeRoot, start: 1200})
	f.expect("100.1000<0 root, 300.1100<100 hidden, 301.1200<100 next")
}

// An exec shows in where the stack begins.
func TestExecInProc(t *testing.T) {
	f := newFakeProc(t)
	f.put(stat{pid: fakeRoot, comm: "root", parent: os.Getpid(), start: 1000, stack: 77})
	f.w.mu.Lock()
	f.w.sample(readClocks())
	f.w.mu.Unlock()
	f.put(stat{pid: 101, comm: "root", parent: fakeRoot, start: 1100, stack: 77})
	f.last(101)
	f.look()
	if p := f.w.Processes()[1]; !p.Execed.IsZero() {
		t.Errorf("it has run a program:\n%s", Table([]Process{p}))
	}
	f.put(stat{pid: 101, comm: "other", parent: fakeRoot, start: 1100, stack: 88})
	f.w.mu.Lock()
	f.w.sample(readClocks())
	f.w.mu.Unlock()
	if p := f.w.Processes()[1]; p.Execed.IsZero() || p.Args[0] != "other" || p.MaxRSS != 101<<10 {
		t.Errorf("it has run no program:\n%s", Table([]Process{p}))
	}
}

// What /proc says of zombies counts, and is not taken for more than it is.
func TestZombies(t *testing.T) {
	f := newFakeProc(t)
	f.put(stat{pid: 101, comm: "killed", parent: fakeRoot, start: 1100, state: 'Z', status: 9, user: 50, system: 25})
	f.put(stat{pid: 102, comm: "unreadable", parent: fakeRoot, start: 1100, state: 'Z'})
	f.last(102)
	f.look()
	f.look()
	list := f.w.Processes()
	if len(list) != 3 || how(list[1]) != "signal 9" || list[1].User != 500*time.Millisecond || list[1].System != 250*time.Millisecond {
		t.Errorf("the killed one is wrong:\n%s", Table(list))
	}
	if how(list[2]) != "unknown" {
		t.Errorf("the unreadable one is wrong:\n%s", Table(list))
	}
}
