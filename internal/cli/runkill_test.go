//go:build unix

package cli

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/journal"
)

// -rounds 1000 is worth it after a change to the journal or to what reads it.
var rounds = flag.Int("rounds", 100, "how many commands TestKilledUnderRun starts")

func init() { standIns["killme"] = killMe }

// Of each report of killme: which goroutine, what, and the how manieth.
const (
	reportSize    = 8
	reportStarted = 0
	reportEnded   = 1
)

// inner is how many spans are in each other one.
const inner = 10

// killMe starts and ends spans on several goroutines for ever, and reports each on standard output before it goes on. Each
// goroutine has a span around every ten others. It begins with a line of its pid and the folder of its journal. Its arguments
// are the number of goroutines and the number of reports after which it exits by itself; 0 for never.
func killMe() error {
	goroutines, err := strconv.Atoi(os.Args[1])
	if err != nil {
		return err
	}
	exitAfter, err := strconv.ParseInt(os.Args[2], 10, 64)
	if err != nil {
		return err
	}
	if _, err := forkspan.Init(context.Background(), "killme"); err != nil {
		return err
	}
	fmt.Println(os.Getpid(), os.Getenv(environ.JournalVariable))
	var reports atomic.Int64
	report := func(g, what, n int) {
		var b [reportSize]byte
		binary.LittleEndian.PutUint16(b[:], uint16(g))
		binary.LittleEndian.PutUint16(b[2:], uint16(what))
		binary.LittleEndian.PutUint32(b[4:], uint32(n))
		if _, err := os.Stdout.Write(b[:]); err != nil {
			panic(err)
		}
		if reports.Add(1) == exitAfter {
			os.Exit(7)
		}
	}
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			started, ended := 0, 0
			begin := func(ctx context.Context) (context.Context, trace.Span) {
				started++
				size := rand.IntN(300)
				ctx, span := forkspan.Start(ctx, fmt.Sprintf("%d-%d", g, started),
					attribute.Int("size", size), attribute.String("text", strings.Repeat("x", size)))
				report(g, reportStarted, started)
				return ctx, span
			}
			end := func(span trace.Span) {
				span.End()
				ended++
				report(g, reportEnded, ended)
			}
			for {
				ctx, outer := begin(context.Background())
				for range inner {
					_, span := begin(ctx)
					end(span)
				}
				end(outer)
			}
		})
	}
	all.Wait()
	return nil
}

// killReports is what a goroutine of killme has done at least.
type killReports struct{ started, ended int }

// hasEnded tells whether the end of the n-th span is among those reported.
func (r *killReports) hasEnded(n int) bool {
	blocks, rest := r.ended/(inner+1), r.ended%(inner+1)
	at := n - blocks*(inner+1) // 1 is the outer span of a block
	return at < 1 || at > 1 && at <= rest+1
}

// killedRun is one forkspan run around killme.
type killedRun struct {
	cmd     *exec.Cmd
	out     *bufio.Reader
	child   int
	journal string
	all     []killReports
}

func startKilled(t *testing.T, programs, db string, goroutines, exitAfter int) *killedRun {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &killedRun{all: make([]killReports, goroutines)}
	r.cmd = &exec.Cmd{Path: program, Args: []string{"forkspan", "run", "-q", "--db", db, "--", filepath.Join(programs, "killme"),
		strconv.Itoa(goroutines), strconv.Itoa(exitAfter)}}
	r.cmd.Env = append(os.Environ(), "HOME="+programs, "OTEL_BSP_SCHEDULE_DELAY=60000")
	pipe, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pipe.Close() })
	r.cmd.Stdout = w
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	r.out = bufio.NewReader(pipe)
	if _, err := fmt.Fscanf(r.out, "%d %s\n", &r.child, &r.journal); err != nil {
		t.Fatalf("killme does not begin: %v", err)
	}
	return r
}

// read takes reports until there are no more; at the n-th it calls kill.
func (r *killedRun) read(n int, kill func()) {
	var b [reportSize]byte
	for i := 0; ; i++ {
		if i == n {
			kill()
		}
		if _, err := io.ReadFull(r.out, b[:]); err != nil {
			return
		}
		of, number := &r.all[binary.LittleEndian.Uint16(b[:])], int(binary.LittleEndian.Uint32(b[4:]))
		if binary.LittleEndian.Uint16(b[2:]) == reportStarted {
			of.started = number
		} else {
			of.ended = number
		}
	}
}

// spin passes a random time, so that a signal hits anywhere within a span.
func spin() {
	d := time.Duration(rand.IntN(20_000))
	for begin := time.Now(); time.Since(begin) < d; {
	}
}

// check compares what the store has of the run with what was reported.
func (r *killedRun) check(t *testing.T, spans []otlp.Span) {
	t.Helper()
	finished, begun := make([]map[int]bool, len(r.all)), make([]map[int]bool, len(r.all))
	for g := range r.all {
		finished[g], begun[g] = map[int]bool{}, map[int]bool{}
	}
	for i := range spans {
		s := &spans[i]
		var g, n int
		if _, err := fmt.Sscanf(s.Name, "%d-%d", &g, &n); err != nil {
			continue // the command's
		}
		size, text := -1, ""
		for _, a := range s.Attributes() {
			switch v := a.Value.(type) {
			case int64:
				if a.Key == "size" {
					size = int(v)
				}
			case string:
				if a.Key == "text" {
					text = v
				}
			}
		}
		if size != len(text) || s.Start == 0 || s.End != 0 && s.End < s.Start || s.Process.PID != r.child {
			t.Errorf("torn: %+v", s)
		}
		of := begun
		if s.End != 0 {
			of = finished
		}
		if of[g][n] {
			t.Errorf("span %s is there twice, ended %v", s.Name, s.End != 0)
		}
		of[g][n] = true
	}
	for g, rep := range r.all {
		unfinished := 0
		for n := 1; n <= rep.started; n++ {
			switch {
			case finished[g][n]:
			case rep.hasEnded(n):
				t.Errorf("span %d-%d had ended: begun %v", g, n, begun[g][n])
			case !begun[g][n]:
				t.Errorf("span %d-%d had started", g, n)
			default:
				unfinished++
			}
		}
		if extra := len(finished[g]) - rep.ended; extra < 0 || extra > 1 || unfinished > 2 || finished[g][rep.started+2] {
			t.Errorf("goroutine %d: %d more have ended than were reported, %d unfinished", g, extra, unfinished)
		}
	}
}

// journalsAlive tells whether the process of any journal in the folder is there.
func journalsAlive(dir string) bool {
	for j := range journal.All(dir) {
		if j != nil && j.Alive {
			return true
		}
	}
	return false
}

// TestKilledUnderRun ends a program in each of several ways at a random moment. Each span whose Start had returned has to be in
// the store, ended where its End had returned, once, and at most one more of either; nothing torn; and no file left behind.
func TestKilledUnderRun(t *testing.T) {
	programs := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(programs, "killme")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(programs, "forkspan.db")
	db, err := store.Open(t.Context(), path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ways := []string{"KILL", "KILL", "exit", "SEGV", "KILL", "run"}
	for round := range *rounds {
		way, goroutines, reports := ways[round%len(ways)], 1+rand.IntN(4), 1+rand.IntN(1500)
		exitAfter := 0
		if way == "exit" {
			exitAfter = reports
		}
		r := startKilled(t, programs, path, goroutines, exitAfter)
		if way == "SEGV" {
			r.cmd.Stderr = nil
		}
		r.read(reports, func() {
			spin()
			switch way {
			case "KILL":
				err = syscall.Kill(r.child, syscall.SIGKILL)
			case "SEGV":
				err = syscall.Kill(r.child, syscall.SIGSEGV)
			case "run": // the supervisor first, and the program some spans later
				if err = r.cmd.Process.Kill(); err == nil {
					_ = r.cmd.Wait() // killed
					err = syscall.Kill(r.child, syscall.SIGKILL)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if way != "run" {
			if _, ok := errors.AsType[*exec.ExitError](r.cmd.Wait()); !ok {
				t.Error("the run ends as if nothing had happened")
			}
		} else {
			for journalsAlive(r.journal) { // its end of the pipe is closed, but it may take its time to die
			}
			next := &exec.Cmd{Path: program, Args: []string{"forkspan", "ls", "--db", path}, Env: r.cmd.Env}
			if out, err := next.CombinedOutput(); err != nil || !strings.Contains(string(out), "recovered") {
				t.Errorf("the next forkspan: %v\n%s", err, out)
			}
		}
		run, err := db.FindRun(t.Context(), "last")
		if err != nil {
			t.Fatal(err)
		}
		spans, err := decodeAll(db.Requests(t.Context(), run.ID))
		if err != nil {
			t.Fatal(err)
		}
		r.check(t, spans)
		if _, err := os.Lstat(r.journal); !os.IsNotExist(err) || r.journal == "" || run.Journal != "" {
			t.Errorf("the journal's folder %q is left: %v, %q", r.journal, err, run.Journal)
		}
		if t.Failed() {
			t.Fatalf("round %d: %s after %d reports of %d goroutines", round, way, reports, goroutines)
		}
	}
}

// A run that was cut off while its program lives on is removed with the journals that the program still writes, and stays away.
func TestRemoveOfACutOffRun(t *testing.T) {
	programs := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(programs, "killme")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(programs, "forkspan.db")
	r := startKilled(t, programs, path, 1, 0)
	r.read(100, func() {
		defer func() {
			if err := syscall.Kill(r.child, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}()
		if err := r.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = r.cmd.Wait() // killed
		forkspan := func(args ...string) string {
			cmd := &exec.Cmd{Path: program, Args: append([]string{"forkspan", "--db", path}, args...), Env: r.cmd.Env}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v", args[0], err)
			}
			return string(out)
		}
		if out := forkspan("ls"); !strings.Contains(out, "killme") {
			t.Errorf("before: %s", out)
		}
		if out := forkspan("rm", "last"); !strings.Contains(out, "removed run") {
			t.Error(out)
		}
		if out := forkspan("ls", "--json"); strings.Contains(out, "killme") {
			t.Errorf("the run is back: %s", out)
		}
		if _, err := os.Lstat(r.journal); !os.IsNotExist(err) {
			t.Errorf("the folder of journals is left: %v", err)
		}
	})
}
