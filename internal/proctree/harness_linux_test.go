package proctree

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"forkspan.dev/forkspan/internal/supervise"
)

func init() {
	roles["watch"] = watchRole
}

// watched is what the role watch reports.
type watched struct {
	Root      int
	Processes []Process
	Coverage  Coverage
	CPU       time.Duration // of the watching process from the start of the command to its end
}

// watchRole does what forkspan run does: it starts a command under a watcher and reports the tree as JSON on descriptor
// 3, when nothing of it lives any more.
func watchRole(args []string) {
	var options Options
	if err := json.Unmarshal([]byte(args[0]), &options); err != nil {
		panic(err)
	}
	w := New(options)
	w.Await()
	p, err := supervise.Start(supervise.Command{
		Path: args[1], Args: args[2:], NoSubreaper: !options.Subreaper, Reaped: w.Reaped,
	})
	if err != nil {
		panic(err)
	}
	w.Follow(p.PID())
	before := ownCPU()
	seen := make(chan struct{})
	go func() {
		defer close(seen)
		letGo(w, p.Done())
	}()
	p.Outcome()
	p.Descendants(context.Background())
	cpu := ownCPU() - before
	<-seen
	w.Stop()
	report := watched{Root: p.PID(), Processes: w.Processes(), Coverage: w.Coverage(), CPU: cpu}
	if err := json.NewEncoder(os.NewFile(3, "report")).Encode(report); err != nil {
		panic(err)
	}
}

// held is a shell command that waits until it, and all else that lives, has been seen by the watcher. It is followed by its name.
const (
	heldName = "held"
	held     = heldName + ` -c 'kill -STOP $$; :'`
)

// letGo lets those of the tree go on that have stopped, when the watcher knows what all that lives there runs, and what
// they have used; or after half a minute, so that the test can say what it does not know.
func letGo(w *Watcher, done <-chan struct{}) {
	proc := newProcfs("")
	inVain := time.Now().Add(30 * time.Second)
	for {
		select {
		case <-done:
			return
		case <-time.After(time.Millisecond):
		}
		var stopped []int
		known := true
		for _, p := range w.Processes() {
			if s, err := proc.stat(p.PID); p.Ended.IsZero() && err == nil && !s.zombie() {
				known = known && slices.Equal(proc.args(p.PID), p.Args)
				if s.state == 'T' {
					stopped = append(stopped, p.PID)
					known = known && p.User+p.System >= time.Duration(s.user+s.system)*tick && p.MaxRSS > 0
				}
			}
		}
		for _, pid := range stopped {
			if known || time.Now().After(inVain) {
				_ = unix.Kill(pid, unix.SIGCONT) // else it has ended
			}
		}
	}
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// modes are the ways of watching that the system permits.
func modes(t *testing.T) map[string]Options {
	t.Helper()
	m := map[string]Options{"looking": {Subreaper: true, NoEvents: true}}
	if eventsPermitted(t) {
		m["events"] = Options{Subreaper: true}
	}
	return m
}

func eventsPermitted(t *testing.T) bool {
	t.Helper()
	c, err := openConnector(eventBuffer)
	if err != nil {
		t.Logf("NOT TESTED with events: %v", err)
		return false
	}
	c.close()
	return true
}

// watchCommand runs a command under a watcher in a process of its own. Its output is returned too.
func watchCommand(t *testing.T, options Options, args ...string) (watched, string) {
	t.Helper()
	encoded, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], append([]string{string(encoded)}, args...)...)
	programs := t.TempDir()
	if err := os.Symlink("/bin/sh", filepath.Join(programs, heldName)); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), roleVariable+"=watch", "HELD="+held, "PATH="+programs+":"+os.Getenv("PATH"))
	cmd.ExtraFiles = []*os.File{w}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	defer context.AfterFunc(ctx, func() { r.Close() })() // what the command has started may hold the other end
	var report watched
	decodeErr := json.NewDecoder(r).Decode(&report)
	if err := cmd.Wait(); err != nil || decodeErr != nil {
		t.Fatalf("watching %q: %v, %v", args, err, decodeErr)
	}
	return report, out.String()
}

// find is the one process that has these arguments, with bars between them.
func (w watched) find(t *testing.T, text string) Process {
	t.Helper()
	var found []Process
	for _, p := range w.Processes {
		if strings.Join(p.Args, "|") == text {
			found = append(found, p)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d processes %q:\n%s", len(found), text, Table(w.Processes))
	}
	return found[0]
}

// findHeld is the process that was held under this name.
func (w watched) findHeld(t *testing.T, name string) Process {
	t.Helper()
	return w.find(t, heldName+"|-c|kill -STOP $$; :|"+name)
}

// how tells how a process ended.
func how(p Process) string {
	switch {
	case p.Ended.IsZero():
		return "lives"
	case !p.Exited:
		return "unknown"
	case p.Signal != 0:
		return fmt.Sprintf("signal %d", p.Signal)
	}
	return fmt.Sprintf("code %d", p.Code)
}
