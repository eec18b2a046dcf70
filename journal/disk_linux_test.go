package journal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"

	"forkspan.dev/forkspan/journal"
	"golang.org/x/sys/unix"
)

func init() {
	roles["full disk"] = fullDisk
	roles["fork"] = forkWithin
}

// play starts a child in a role and returns what went wrong.
func play(role string, attr *syscall.SysProcAttr, args ...string) error {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), roleVar+"="+role)
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return fmt.Errorf("%w: %s", err, out)
	} else if err != nil {
		return fmt.Errorf("%w: %w", errNotStarted, err)
	}
	return nil
}

var errNotStarted = errors.New("child not started")

// A child gets a mount namespace of its own, so that what it mounts is gone with it; a user who may not mount becomes root in
// a user namespace for that. Without namespaces (in a container) it makes do with a limit on the size of files.
func TestFullDisk(t *testing.T) {
	for _, writes := range []string{"mapped", "plain"} {
		attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		if os.Getuid() != 0 {
			attr.Cloneflags |= syscall.CLONE_NEWUSER
			attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		}
		err := play("full disk", attr, t.TempDir(), writes)
		if errors.Is(err, errNotStarted) {
			err = play("full disk", nil, t.TempDir(), writes, "no mounts")
		}
		if err != nil {
			t.Errorf("%s: %v", writes, err)
		}
	}
}

// fullDisk records more spans than there is room for. The program goes on, what was written can be read, what was not is
// counted, and there is a journal again when there is room.
func fullDisk(args []string) error {
	dir := args[0]
	opts := []journal.Option{journal.WithSegmentSize(256 << 10)}
	if args[1] == "plain" {
		opts = append(opts, journal.WithPlainWrites())
	}
	makeRoom := func() error { return os.Remove(filepath.Join(dir, "ballast")) }
	if len(args) == 2 {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 1<<20), 0o600); err != nil {
			return err
		}
	} else {
		signal.Ignore(syscall.SIGXFSZ)
		limit := unix.Rlimit{Cur: 128 << 10, Max: unix.RLIM_INFINITY} // only plain writes come so far
		opts = append(opts, journal.WithPlainWrites())
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
		makeRoom = func() error {
			limit.Cur = unix.RLIM_INFINITY
			return unix.Setrlimit(unix.RLIMIT_FSIZE, &limit)
		}
	}
	w, err := journal.Create(filepath.Join(dir, "journal"), opts...)
	if err != nil {
		return err
	}
	defer func() { _ = w.Shutdown(context.Background()) }()
	tracer := provider(w).Tracer("s")
	const spans = 5000
	for range spans {
		record(tracer, strings.Repeat("x", 300))
	}
	full := w.Stats()
	if full.Lost == 0 || full.Started+full.Ended+full.Lost != 2*spans || w.Err() == nil {
		return fmt.Errorf("stats %+v: %v", full, w.Err())
	}
	if err := expect(dir, full.Ended); err != nil {
		return err
	}
	if err := makeRoom(); err != nil {
		return err
	}
	for w.Stats().Ended == full.Ended { // it does not try with every span
		record(tracer, "room")
	}
	return expect(dir, w.Stats().Ended)
}

// expect wants so many finished spans in the journal.
func expect(dir string, want uint64) error {
	finished := 0
	for j, err := range journal.All(filepath.Join(dir, "journal")) {
		if err != nil {
			return err
		}
		finished += j.Finished
	}
	if uint64(finished) != want {
		return fmt.Errorf("%d spans are there, %d were written", finished, want)
	}
	return nil
}

// A real fork, without exec: the parent's journal is not touched by the child, which has one of its own.
// A file may be of any size: no more of it is read than its records.
func TestASparseFileOfATerabyte(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, journal.Segment(nobody, journal.Boot(), 1, spanRecord(kindEnd, "a", 1)))
	if err := os.Truncate(filepath.Join(dir, files(t, dir)[0]), 1<<40); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, dir); names(got.finished) != "a" || got.damaged != 0 {
		t.Errorf("finished: %s, %d damaged", names(got.finished), got.damaged)
	}
}

// A follower that cannot open a file for want of file descriptors goes on with it later where it was.
func TestTailWithoutFileDescriptors(t *testing.T) {
	dir := t.TempDir()
	tail := journal.NewTail(dir)
	write(t, dir, journal.Segment(nobody, journal.Boot(), 1, spanRecord(kindEnd, "a", 1)),
		journal.Segment(nobody, journal.Boot(), 2, spanRecord(kindEnd, "b", 1)))
	if got := poll(t, tail); names(got.finished) != "a b" {
		t.Errorf("finished: %s", names(got.finished))
	}
	const atOnce = 1 // file of the two
	func() {
		defer limitFiles(t, atOnce)()
		if _, err := tail.Poll(); !errors.Is(err, unix.EMFILE) {
			t.Errorf("error %v", err)
		}
	}()
	if got := poll(t, tail); len(got.finished) != 0 {
		t.Errorf("again: %s", names(got.finished))
	}
}

// A writer of another pid namespace that has made its first file, and no header in it yet, is told from a dead one by its lock.
func TestAWriterBeforeItsFirstHeader(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, make([]byte, 4096))
	tail := journal.NewTail(dir)
	f, err := os.Open(filepath.Join(dir, files(t, dir)[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := poll(t, tail); got.journals != nil || tail.Live() != 1 {
			t.Errorf("%d live, %+v", tail.Live(), got.journals)
		}
	}
	write(t, dir, journal.WithStart(journal.Segment(os.Getpid(), journal.Boot(), 1, spanRecord(kindEnd, "a", 1)), 1))
	if got := poll(t, tail); names(got.finished) != "a" || got.journals[0].PID != os.Getpid() || got.journals[0].Start != 1 {
		t.Errorf("%+v", got.journals)
	}
	f.Close()
	write(t, dir, make([]byte, 4096))
	if got := poll(t, journal.NewTail(dir)); len(got.journals) != 1 || got.journals[0].Alive {
		t.Errorf("%+v", got.journals)
	}
}

// Somebody who asks whether a file is locked does not keep its writer from locking it.
func TestAWriterLocksAFileThatIsLookedAt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	asking, own, other := open(), open(), open()
	if err := unix.Flock(int(asking.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	pauses := 0
	journal.LockOwn(own, func() {
		if pauses++; pauses == 2 {
			asking.Close()
		}
	})
	if err := unix.Flock(int(other.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) || pauses != 2 {
		t.Errorf("after %d pauses: %v", pauses, err)
	}
	journal.LockOwn(other, func() { pauses++ }) // not for ever
	if pauses < 3 {
		t.Errorf("%d pauses", pauses)
	}
}

// limitFiles lets this process open n files more, until undo is called.
func limitFiles(t *testing.T, n uint64) (undo func()) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	free := uint64(f.Fd()) // the lowest
	f.Close()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: free + n, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFork(t *testing.T) {
	dir := t.TempDir()
	if err := play("fork", nil, dir); err != nil {
		t.Fatal(err)
	}
	got := readAll(t, dir)
	if len(got.journals) != 2 || names(got.finished) != "after before child open open" || len(got.unfinished) != 0 || got.damaged != 0 {
		t.Errorf("%d journals, finished: %s, unfinished: %s, %d damaged", len(got.journals), names(got.finished),
			names(got.unfinished), got.damaged)
	}
}

// forkWithin forks in the middle of a span. The child ends that span too, and records one; it has this thread only, as a
// forked child has, which is enough for that.
func forkWithin(args []string) error {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(-1) // collecting needs threads that the child does not have
	runtime.LockOSThread()
	w, err := journal.Create(args[0])
	if err != nil {
		return err
	}
	tracer := provider(w).Tracer("s")
	record(tracer, "before")
	_, open := tracer.Start(context.Background(), "open")
	pid, _, errno := syscall.RawSyscall(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0)
	if errno != 0 {
		return errno
	}
	open.End()
	if pid == 0 {
		record(tracer, "child")
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
	}
	record(tracer, "after")
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(int(pid), &status, 0, nil); err != nil || status != 0 {
		return fmt.Errorf("child: status %v, %v", status, err)
	}
	return nil
}
