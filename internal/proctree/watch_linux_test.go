package proctree

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// self is a shell command that runs the test binary in a role.
func self(role string, args ...string) string {
	for i, arg := range args {
		args[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	return fmt.Sprintf("env %s=%s '%s' %s", roleVariable, role, os.Args[0], strings.Join(args, " "))
}

func forEachMode(t *testing.T, test func(t *testing.T, options Options)) {
	for name, options := range modes(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, options)
		})
	}
}

func TestShellTree(t *testing.T) {
	forEachMode(t, func(t *testing.T, options Options) {
		w, _ := watchCommand(t, options, "sh", "-c", `sh -c "$HELD 1; exit 3" & eval "exec $HELD 2" & wait; exit 7`)
		root := w.Processes[0]
		child, grandchild, other := w.find(t, "sh|-c|"+held+" 1; exit 3"), w.findHeld(t, "1"), w.findHeld(t, "2")
		for i, p := range []Process{root, child, grandchild, other} {
			if want := []string{"code 7", "code 3", "code 0", "code 0"}[i]; how(p) != want {
				t.Errorf("%v ended with %s, want %s", p.Args, how(p), want)
			}
		}
		if child.Parent != root.ID || grandchild.Parent != child.ID || other.Parent != root.ID || len(w.Processes) != 4 {
			t.Errorf("the tree is wrong:\n%s", Table(w.Processes))
		}
	})
}

// How processes end that others than we reap.
func TestEnds(t *testing.T) {
	forEachMode(t, func(t *testing.T, options Options) {
		var script strings.Builder
		want := map[string]string{}
		for _, code := range []int{0, 1, 42, 127, 255} {
			fmt.Fprintf(&script, "sh -c 'kill -STOP $$; exit %d' &\n", code)
			want[fmt.Sprintf("sh|-c|kill -STOP $$; exit %d", code)] = fmt.Sprintf("code %d", code)
		}
		for _, sig := range []unix.Signal{unix.SIGALRM, unix.SIGKILL, unix.SIGSEGV, unix.SIGABRT, unix.SIGTERM, unix.SIGUSR1} {
			fmt.Fprintf(&script, "sh -c 'kill -STOP $$; kill -%d $$' &\n", int(sig))
			want[fmt.Sprintf("sh|-c|kill -STOP $$; kill -%d $$", int(sig))] = fmt.Sprintf("signal %d", int(sig))
		}
		w, _ := watchCommand(t, options, "sh", "-c", script.String()+"wait")
		for args, end := range want {
			if p := w.find(t, args); how(p) != end {
				t.Errorf("%s: %s, want %s", args, how(p), end)
			}
		}
		for _, p := range w.Processes {
			if p.Ended.IsZero() || p.OOMKilled {
				t.Errorf("%q lives or was killed for want of memory", p.Args)
			}
		}
	})
}

func TestExecChain(t *testing.T) {
	forEachMode(t, func(t *testing.T, options Options) {
		w, _ := watchCommand(t, options, "sh", "-c", `sh -c 'exec sh -c "exec env $HELD 1"'; exec sh -c "$HELD 2; exit 2"`)
		p := w.findHeld(t, "1")
		if len(w.Processes) != 3 || p.Program != heldName || p.Execed.IsZero() || p.Execed.Before(p.Started) {
			t.Errorf("the tree is wrong:\n%s", Table(w.Processes))
		}
		if root := w.Processes[0]; how(root) != "code 2" || !slices.Contains(root.Args, held+" 2; exit 2") {
			t.Errorf("the root is wrong:\n%s", Table(w.Processes[:1]))
		}
	})
}

// A daemon that forks twice stays in the tree, whoever adopts it.
func TestDaemon(t *testing.T) {
	for name, options := range modes(t) {
		for _, subreaper := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " ", subreaper), func(t *testing.T) {
				t.Parallel()
				options := options
				options.Subreaper = subreaper
				w, _ := watchCommand(t, options, "sh", "-c", `setsid sh -c '(sleep 0.44 & echo $! >"$0"); sleep 0.2' "$0" & wait
					while kill -0 $(cat "$0") 2>/dev/null; do sleep 0.05; done`, t.TempDir()+"/pid")
				p := w.find(t, "sleep|0.44")
				if !subreaper && options.NoEvents {
					return // who reaps it does not tell us
				}
				if how(p) != "code 0" {
					t.Errorf("the daemon is wrong:\n%s", Table(w.Processes))
				}
			})
		}
	}
}

// A child that runs no other program has its parent's arguments: a forked Python worker is such a one.
func TestForkWithoutExec(t *testing.T) {
	forEachMode(t, func(t *testing.T, options Options) {
		const script = `(eval "$HELD 1"; exit 4); echo $?`
		w, out := watchCommand(t, options, "sh", "-c", script)
		var copies []Process
		for _, p := range w.Processes[1:] {
			if slices.Equal(p.Args, []string{"sh", "-c", script}) {
				copies = append(copies, p)
			}
		}
		if len(copies) != 1 || how(copies[0]) != "code 4" || !copies[0].Execed.IsZero() || out != "4\n" {
			t.Errorf("the tree is wrong:\n%s", Table(w.Processes))
		}
	})
}

func TestThreadsAreNoProcesses(t *testing.T) {
	forEachMode(t, func(t *testing.T, options Options) {
		w, _ := watchCommand(t, options, "sh", "-c", "exec "+self("threads"))
		if len(w.Processes) != 1 {
			t.Errorf("more than one process:\n%s", Table(w.Processes))
		}
	})
}

// A process ends with its last thread, which decides how.
func TestFirstThreadEndsFirst(t *testing.T) {
	forEachMode(t, func(t *testing.T, options Options) {
		w, out := watchCommand(t, options, "sh", "-c", self("leaderless")+"; exit 1")
		at, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		p := w.find(t, os.Args[0])
		if how(p) != "code 9" || p.Ended.Before(time.Unix(0, at)) {
			t.Errorf("it ended before %v:\n%s", time.Unix(0, at), Table(w.Processes))
		}
	})
}

func TestExecByAnotherThread(t *testing.T) {
	forEachMode(t, func(t *testing.T, options Options) {
		w, _ := watchCommand(t, options, "sh", "-c", self("threadExec")+"; exit 1")
		if p := w.find(t, "sh|-c|sleep 0.31; exit 6"); how(p) != "code 6" {
			t.Errorf("it ended otherwise:\n%s", Table(w.Processes))
		}
	})
}

func TestHostileNames(t *testing.T) {
	forEachMode(t, func(t *testing.T, options Options) {
		var script strings.Builder
		names := []string{"a) R 1 2 (", "\n1 (x) Z 0", "  ", ")", "é\t"}
		for _, name := range names {
			fmt.Fprintf(&script, "%s &\n", self("named", strconv.Quote(name)))
		}
		w, _ := watchCommand(t, options, "sh", "-c", script.String()+"wait")
		for _, name := range names {
			p := w.find(t, os.Args[0]+"|"+strconv.Quote(name))
			if p.Program != name || how(p) != "code 0" || p.Parent != w.Processes[0].ID {
				t.Errorf("%q is wrong:\n%s", name, Table([]Process{p}))
			}
		}
	})
}

func TestUse(t *testing.T) {
	forEachMode(t, func(t *testing.T, options Options) {
		w, _ := watchCommand(t, options, "sh", "-c", self("greedy")+"; exit 1")
		p := w.find(t, os.Args[0])
		if p.User+p.System < 180*time.Millisecond || p.MaxRSS < 80<<20 || p.MaxRSS > 400<<20 {
			t.Errorf("the use is wrong:\n%s", Table(w.Processes))
		}
		if root := w.Processes[0]; root.User+root.System > 100*time.Millisecond || root.MaxRSS > 40<<20 {
			t.Errorf("the shell has its child's use:\n%s", Table(w.Processes))
		}
	})
}

// Starts are right to 20 ms: not after the process's own clock at its begin, and not before that of the kernel.
func TestStarts(t *testing.T) {
	const tolerance = 20 * time.Millisecond
	forEachMode(t, func(t *testing.T, options Options) {
		w, out := watchCommand(t, options, "sh", "-c",
			"for i in 1 2 3 4 5; do sleep 0.2 | "+strings.Replace(self("clock"), "env", "exec env", 1)+"; done")
		clocks := parseClocks(out)
		if len(clocks) != 5 {
			t.Fatalf("%d clocks", len(clocks))
		}
		boot := readClocks()
		for _, own := range clocks {
			i := slices.IndexFunc(w.Processes, func(p Process) bool { return p.ID == own.id })
			if i < 0 {
				t.Errorf("%v is not there:\n%s", own.id, Table(w.Processes))
				continue
			}
			p := w.Processes[i]
			if p.Started.After(own.at.Add(tolerance)) || p.Started.Before(boot.atTick(own.id.Start).Add(-tolerance)) {
				t.Errorf("started %v, by its own clock at most %v", p.Started, own.at)
			}
			t.Logf("own clock %v after the start, kernel's tick %v", own.at.Sub(p.Started), boot.atTick(own.id.Start).Sub(p.Started))
		}
	})
}

// Every process is known where the kernel tells of them, else the account says what may be missing.
func TestManyShortProcesses(t *testing.T) {
	for name, options := range modes(t) {
		count := 10_000
		if options.NoEvents {
			count = 1000
		}
		t.Run(name, func(t *testing.T) {
			w, _ := watchCommand(t, options, "sh", "-c", fmt.Sprintf("for i in $(seq %d); do /bin/true; done", count))
			c := w.Coverage
			t.Logf("%d of %d processes, %+v", len(w.Processes), count+2, c)
			if c.Forks < int64(count) {
				t.Errorf("%d forks counted", c.Forks)
			}
			if options.NoEvents {
				if c.Events || c.Step <= 0 || len(w.Processes) > count+2 {
					t.Errorf("%d processes, %+v", len(w.Processes), c)
				}
				return
			}
			if !c.Events || c.Missed != 0 || c.Step != 0 || len(w.Processes) != count+2 { // the shell and seq
				t.Fatalf("%d processes, %+v", len(w.Processes), c)
			}
			for _, p := range w.Processes {
				if p.Ended.IsZero() || how(p) != "code 0" || p.Started.IsZero() {
					t.Fatalf("a process is wrong:\n%s", Table([]Process{p}))
				}
			}
		})
	}
}

// Of too many processes the first are remembered, and all are followed.
func TestLimit(t *testing.T) {
	forEachMode(t, func(t *testing.T, options Options) {
		options.Limit = 5
		w, _ := watchCommand(t, options, "sh", "-c",
			"for i in 1 2 3 4 5 6; do sh -c 'sleep 0.3; :' & done; wait")
		if len(w.Processes) != 5 || w.Coverage.Beyond == 0 || options.NoEvents == false && w.Coverage.Beyond != 8 {
			t.Errorf("%+v:\n%s", w.Coverage, Table(w.Processes))
		}
	})
}
