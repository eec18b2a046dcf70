package store_test

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

// helperVariable makes the test binary do one of the helpers' jobs instead of testing.
const helperVariable = "FORKSPAN_STORE_TEST_HELPER"

// helpers are the jobs; a file for one operating system adds its own.
var helpers = map[string]func(args []string) error{
	"ingest": ingest,
}

func TestMain(m *testing.M) {
	if job := os.Getenv(helperVariable); job != "" {
		if err := helpers[job](os.Args[1:]); err != nil {
			_, _ = io.WriteString(os.Stderr, err.Error()+"\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// helper returns a command that runs one of the helpers.
func helper(job string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), helperVariable+"="+job)
	cmd.Stderr = os.Stderr
	return cmd
}

// ingest stores requests of a random trace each, from several goroutines, and writes the 16 bytes of a trace's id to stdout once
// its request is acknowledged. It ends after as many as args say, 0 for never.
func ingest(args []string) error {
	path, run := args[0], args[1]
	requests, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	ctx := context.Background()
	s, err := store.Open(ctx, path, store.Options{})
	if err != nil {
		return err
	}
	const senders = 4
	errs := make(chan error, senders)
	for range senders {
		go func() {
			for n := 0; requests == 0 || n < requests/senders; n++ {
				id := randomTrace()
				body := request(1+rand.IntN(40), id)
				_, sum, _, _, err := otlp.Scan(body)
				if err == nil {
					err = s.Append(ctx, run, body, sum)
				}
				if err == nil {
					_, err = os.Stdout.Write(id[:])
				}
				if err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range senders {
		if err := <-errs; err != nil {
			return err
		}
	}
	return s.Close()
}

// TestKilledAtRandomMoments kills a process that stores requests, again and again on the same file. Whatever it acknowledged
// must be there.
func TestKilledAtRandomMoments(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forkspan.db")
	const rounds = 200
	var acknowledged []otlp.TraceID
	for range rounds {
		cmd := helper("ingest", path, "R", "0")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// The pipe runs behind the process, so the kill falls anywhere in a transaction, a checkpoint or the index job.
		killAfter := rand.IntN(16)
		acks := bufio.NewReader(out)
		for n := 0; ; n++ {
			if n == killAfter {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			var id otlp.TraceID
			if _, err := io.ReadFull(acks, id[:]); err != nil {
				break
			}
			acknowledged = append(acknowledged, id)
		}
		_ = cmd.Wait() // it was killed
	}
	if len(acknowledged) < rounds {
		t.Fatalf("only %d requests were acknowledged", len(acknowledged))
	}
	s := open(t, path, store.Options{Notify: func(msg string) { t.Error(msg) }})
	defer s.Close()
	for _, id := range acknowledged {
		if requests, spans := count(t, s, id); requests != 1 || spans == 0 {
			t.Fatalf("an acknowledged request is lost: found %d requests, %d spans", requests, spans)
		}
	}
	traces, err := s.Traces(context.Background(), "R")
	if err != nil || len(traces) < len(acknowledged) {
		t.Errorf("%d traces, %d acknowledged, error %v", len(traces), len(acknowledged), err)
	}
}

// TestSeveralProcesses has two processes write to one file while this one reads it.
func TestSeveralProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forkspan.db")
	runs := []string{"A", "B"}
	const requests = 1200
	var writers sync.WaitGroup
	done := make(chan struct{})
	for _, run := range runs {
		cmd := helper("ingest", path, run, strconv.Itoa(requests))
		cmd.Stdout = io.Discard
		writers.Go(func() {
			if err := cmd.Run(); err != nil {
				t.Errorf("writer %s: %v", run, err)
			}
		})
	}
	go func() { writers.Wait(); close(done) }()
	s := open(t, path, store.Options{Notify: func(msg string) { t.Error(msg) }})
	defer s.Close()
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		for _, run := range runs {
			n := 0
			for r, err := range s.Requests(context.Background(), run) {
				if err != nil {
					t.Fatal(err)
				}
				if n++; n == 1 {
					if _, err := otlp.Decode(r.Body); err != nil {
						t.Fatal(err)
					}
				}
			}
			if !reading && n != requests {
				t.Errorf("run %s has %d requests", run, n)
			}
		}
	}
	traces, err := s.Traces(context.Background(), "")
	if err != nil || len(traces) != len(runs)*requests {
		t.Fatalf("%d traces, error %v", len(traces), err)
	}
	for _, trace := range traces[:50] {
		if n, _ := count(t, s, trace.TraceID); n != 1 {
			t.Errorf("trace %x: %d requests", trace.TraceID, n)
		}
	}
}

// TestSeveralProcessesBegin has many processes find no file at the same moment.
func TestSeveralProcessesBegin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "forkspan.db")
	const processes, requests = 8, 8
	var all sync.WaitGroup
	for range processes {
		cmd := helper("ingest", path, "R", strconv.Itoa(requests))
		cmd.Stdout = io.Discard
		all.Go(func() {
			if err := cmd.Run(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	s := open(t, path, store.Options{Notify: func(msg string) { t.Error(msg) }})
	defer s.Close()
	if traces, err := s.Traces(context.Background(), "R"); err != nil || len(traces) != processes*requests {
		t.Errorf("%d traces, %v", len(traces), err)
	}
}
