package proctree

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// eventTree is a watcher that is told of events by hand. The processes are none of the system's.
type eventTree struct {
	w   *Watcher
	now clocks
	at  int64
}

func newEventTree(t *testing.T) *eventTree {
	f := newFakeProc(t)
	f.remove(fakeRoot)
	f.w.cover.Events = true
	return &eventTree{w: f.w, now: readClocks(), at: nanoseconds(unix.CLOCK_MONOTONIC)}
}

// tell applies events, each a second after the one before.
func (e *eventTree) tell(events ...event) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	for _, event := range events {
		e.at += int64(time.Second)
		event.time = e.at
		e.w.apply(event, e.now)
	}
}

func forkOf(parent, child int) event {
	return event{kind: eventFork, parent: parent, process: child, thread: child}
}

func execOf(pid int) event { return event{kind: eventExec, process: pid, thread: pid} }

func exitOf(pid, status int) event {
	return event{kind: eventExit, process: pid, thread: pid, status: status}
}

func TestPidReuseInEvents(t *testing.T) {
	e := newEventTree(t)
	e.tell(forkOf(fakeRoot, 201), exitOf(201, 0x100), forkOf(fakeRoot, 202), forkOf(202, 201), exitOf(201, 9),
		forkOf(1, 202), forkOf(202, 203), forkOf(1, 201))
	list := e.w.Processes()
	if len(list) != 4 || how(list[1]) != "code 1" || how(list[3]) != "signal 9" || list[3].Parent != list[2].ID ||
		list[1].ID == list[3].ID {
		t.Errorf("the tree is wrong:\n%s", Table(list))
	}
	if list[2].Ended.IsZero() { // another has its pid, although its end was not told
		t.Errorf("it lives:\n%s", Table(list))
	}
	for _, pid := range []int{201, 202, 203} {
		if id, ok := e.w.Lookup(pid); ok {
			t.Errorf("pid %d is that of %v", pid, id)
		}
	}
}

// The first thread's end is not that of a process whose other thread runs another program.
func TestExecAfterExit(t *testing.T) {
	e := newEventTree(t)
	e.tell(forkOf(fakeRoot, 201), exitOf(201, 0), execOf(201))
	if p := e.w.Processes()[1]; how(p) != "lives" || p.Execed.IsZero() {
		t.Errorf("it does not live:\n%s", Table([]Process{p}))
	}
	e.tell(exitOf(201, 0x8b))
	if p := e.w.Processes()[1]; how(p) != "signal 11" {
		t.Errorf("it ended otherwise:\n%s", Table([]Process{p}))
	}
}

// An orphan may be reaped before the event of its start has been read.
func TestReapedBeforeEvents(t *testing.T) {
	e := newEventTree(t)
	e.tell(forkOf(fakeRoot, 201))
	start := e.now.tickOf(e.at + int64(time.Second))
	e.w.mu.Lock()
	e.w.reaps = []reap{{pid: 202, at: time.Now(), status: 0x500,
		stat: stat{pid: 202, parent: os.Getpid(), comm: "orphan", state: 'Z', start: start}}}
	e.w.takeReaps(e.now)
	e.w.mu.Unlock()
	e.tell(forkOf(201, 202), execOf(202), exitOf(202, 0x500))
	list := e.w.Processes()
	if len(list) != 3 || list[2].Parent != list[1].ID || how(list[2]) != "code 5" || list[2].Program != "orphan" {
		t.Errorf("the tree is wrong:\n%s", Table(list))
	}
}

// Of too many processes the last are forgotten when they have ended, and until then their children are the tree's.
func TestLimitInEvents(t *testing.T) {
	e := newEventTree(t)
	e.w.tree.limit = 2
	e.tell(forkOf(fakeRoot, 201), forkOf(201, 202), forkOf(202, 203), exitOf(202, 0), exitOf(203, 0))
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	if tr := &e.w.tree; len(tr.all) != 2 || tr.beyond != 2 || len(tr.byPID) != 2 || len(tr.living) != 2 {
		t.Errorf("%d remembered, %d beyond, %d pids, %d living", len(tr.all), tr.beyond, len(tr.byPID), len(tr.living))
	}
}

// When the kernel drops events it is said, and what lives is found all the same.
func TestDroppedEvents(t *testing.T) {
	if !eventsPermitted(t) {
		return
	}
	w := New(Options{eventBuffer: 4096})
	defer w.Stop()
	r, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	cmd := exec.Command("sh", "-c", "read x; exec 3<&0; for i in $(seq 100); do /bin/true; done; cat <&3 & echo up; wait")
	cmd.Stdin = r
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	w.Follow(cmd.Process.Pid)
	until(t, w, func() bool { return len(w.Processes()[0].Args) > 0 })
	w.mu.Lock() // now it reads no events
	if _, err := in.WriteString("go\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	w.mu.Unlock()
	until(t, w, func() bool {
		list := w.Processes()
		last := list[len(list)-1]
		return w.Coverage().Missed > 0 && last.Program == "cat" && last.Ended.IsZero()
	})
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

// until waits for something that the watcher finds out.
func until(t *testing.T, w *Watcher, done func() bool) {
	t.Helper()
	for giveUp := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(giveUp) {
			t.Fatalf("it was not found out: %+v\n%s", w.Coverage(), Table(w.Processes()))
		}
	}
}

// The filter lets through what we use and nothing else, whatever other programs do meanwhile.
func TestEventFilter(t *testing.T) {
	c, err := openConnector(eventBuffer)
	if err != nil {
		t.Logf("NOT TESTED: %v", err)
		return
	}
	defer c.close()
	cmd := exec.Command("sh", "-c", self("threads")+"; exit 0")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	counts := map[eventKind]int{}
	for {
		e, err := c.receive()
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.kind != eventExit && e.thread != e.process {
			t.Errorf("an event of a thread: %+v", e)
		}
		counts[e.kind]++
	}
	if counts[eventFork] < 2 || counts[eventExec] < 2 || counts[eventExit] < 40 {
		t.Errorf("events %v", counts)
	}
}
