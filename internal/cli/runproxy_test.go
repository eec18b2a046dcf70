//go:build !windows

package cli

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

// proxiedRun is a forkspan whose command runs until its standard input ends, with a proxy in it.
type proxiedRun struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	stderr *watchedBuffer
	db     string
	url    string // of the proxy
}

func startProxied(ctx context.Context, t *testing.T, env []string, args ...string) *proxiedRun {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	r := &proxiedRun{db: filepath.Join(home, "forkspan.db"), stderr: &watchedBuffer{changed: make(chan struct{}, 1)}}
	r.cmd = exec.CommandContext(ctx, program, args...)
	r.cmd.Args[0] = "forkspan"
	r.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "FORKSPAN_DB=" + r.db}, env...)
	r.cmd.Stderr = r.stderr
	stdin, err := r.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.stdin = stdin
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.url = r.stderr.wait(ctx, t, regexp.MustCompile(`(http://127\.0\.0\.1:\d+) → `))[1]
	return r
}

func (r *proxiedRun) ask(ctx context.Context, t *testing.T, traceparent string) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/v1/chat/completions",
		strings.NewReader(`{"model":"fake-model","stream":true,"messages":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	if traceparent != "" {
		req.Header.Set("traceparent", traceparent)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %v", res.StatusCode, err)
	}
}

// end ends the command and returns the only run of the store with its spans.
func (r *proxiedRun) end(ctx context.Context, t *testing.T) (store.Run, []otlp.Span) {
	t.Helper()
	if err := r.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, r.stderr)
	}
	st, err := store.Open(ctx, r.db, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	runs, err := st.Runs(ctx)
	if err != nil || len(runs) != 1 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	spans, err := decodeAll(st.Requests(ctx, runs[0].ID))
	if err != nil {
		t.Fatal(err)
	}
	return runs[0], spans
}

// TestProxiesOfARun starts a proxy in every way there is inside a run: its requests are that run's, and no run is begun for them.
func TestProxiesOfARun(t *testing.T) {
	server := forkspantest.NewModelServer(t)
	const caller = "0af7651916cd43dd8448eb211c80319c"
	tests := []struct {
		name  string
		args  []string
		spans int // of commands
	}{
		{"run --proxy", []string{"run", "--proxy", "127.0.0.1:0:" + server.URL(), "--", "cat"}, 1},
		{"run --proxy in a run", []string{"run", "--", "forkspan", "run", "--proxy", "127.0.0.1:0:" + server.URL(), "--", "cat"}, 2},
		{"proxy in a run", []string{
			"run", "--", "sh", "-c", `forkspan proxy --listen 127.0.0.1:0 "$0" & cat; kill $!; wait $!`, server.URL(),
		}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			r := startProxied(ctx, t, nil, test.args...)
			r.ask(ctx, t, "")
			r.ask(ctx, t, "00-"+caller+"-b7ad6b7169203331-01")
			run, spans := r.end(ctx, t)
			if run.Kind != "run" || int(run.Account.Spans) != test.spans+4 || len(run.Account.Dropped) > 0 {
				t.Errorf("run %+v", run)
			}
			byTrace := map[otlp.TraceID][]otlp.Kind{}
			for _, s := range spans {
				if s.Process.Service != "forkspan proxy" {
					continue
				}
				byTrace[s.TraceID] = append(byTrace[s.TraceID], s.Kind)
				if s.Process.RunID != run.ID || s.TraceID == run.TraceID {
					t.Errorf("span %q of run %s in trace %x", s.Name, s.Process.RunID, s.TraceID)
				}
			}
			if len(byTrace) != 2 {
				t.Errorf("requests in %d traces: %v", len(byTrace), byTrace)
			}
			for id, kinds := range byTrace {
				if len(kinds) != 2 {
					t.Errorf("trace %x: %v", id, kinds)
				}
			}
			if _, ok := byTrace[otlp.TraceID([]byte("\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c"))]; !ok {
				t.Error("the caller's trace was not continued")
			}
		})
	}
}

// TestUnsampledStaysHere stores all requests, and passes on those alone that their callers sample.
func TestUnsampledStaysHere(t *testing.T) {
	server, backend := forkspantest.NewModelServer(t), forkspantest.NewCollector(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := startProxied(ctx, t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + backend.Endpoint()},
		"run", "--drain", "30s", "--proxy", "127.0.0.1:0:"+server.URL(), "--", "cat")
	r.ask(ctx, t, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
	r.ask(ctx, t, "")
	run, spans := r.end(ctx, t)
	if run.Account.Spans != 5 || len(run.Account.Dropped) > 0 {
		t.Errorf("account %+v", run.Account)
	}
	stored := map[otlp.SpanID]bool{}
	for _, s := range spans {
		stored[s.SpanID] = true
	}
	if len(stored) != 5 {
		t.Errorf("%d spans stored", len(stored))
	}
	if account := r.stderr.String(); !regexp.MustCompile(`0 dropped - 3 passed on to \S+ - 2 local only\n`).MatchString(account) {
		t.Errorf("account\n%s", account)
	}
	passed := backend.Spans()
	if len(passed) != 3 {
		t.Errorf("%d spans passed on", len(passed))
	}
	for _, s := range passed {
		if s.GetTraceId()[0] == 0x0a && s.GetTraceId()[1] == 0xf7 {
			t.Errorf("%q was passed on", s.Name)
		}
	}
}
