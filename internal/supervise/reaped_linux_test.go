package supervise

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func init() {
	roles["reaped"] = reapedRole
}

// reapedRole tells of each process that was reaped whether it was still there, and how it ended.
func reapedRole(args []string) {
	var mu sync.Mutex
	p := mustStart(Command{Path: args[0], Args: args[1:], Reaped: func(pid int, ws syscall.WaitStatus, ru *syscall.Rusage) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf("%c code %d signal %d rss %t\n", state(pid), ws.ExitStatus(), ws.Signal(), ru.Maxrss > 0)
	}})
	p.Outcome()
	p.Descendants(context.Background())
}

// Of the command and of each orphan we are told before the pid is free.
func TestReaped(t *testing.T) {
	cmd := exec.Command(testBinary(t), "sh", "-c", `
		(setsid sh -c 'exit 3' &)
		(setsid sh -c 'kill -KILL $$' &)
		exit 4`)
	cmd.Env = append(os.Environ(), roleVariable+"=reaped")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	want := []string{
		"Z code -1 signal 9 rss true",
		"Z code 3 signal -1 rss true",
		"Z code 4 signal -1 rss true",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("reaped\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}
