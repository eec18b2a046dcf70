package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/internal/store"
)

// served is a running `forkspan serve`.
type served struct {
	cmd    *exec.Cmd
	addr   string
	db     string
	stderr *bufio.Reader
	said   bytes.Buffer
}

// startServe starts serve as a process and waits until it listens.
func startServe(t *testing.T, env []string, args ...string) *served {
	t.Helper()
	bin, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	s := &served{db: filepath.Join(home, "a.db")}
	s.cmd = exec.Command(bin, append([]string{"serve", "--listen", "127.0.0.1:0", "--db", s.db}, args...)...)
	s.cmd.Args[0] = filepath.Join(home, "forkspan")
	if err := os.Symlink(bin, s.cmd.Args[0]); err != nil {
		t.Fatal(err)
	}
	s.cmd.Path = s.cmd.Args[0] // under this name the test binary is forkspan
	s.cmd.Env = append([]string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}, env...)
	out, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	s.stderr = bufio.NewReader(io.TeeReader(out, &s.said))
	for s.addr == "" {
		line, err := s.stderr.ReadString('\n')
		if err != nil {
			t.Fatalf("serve ended: %s", s.said.String())
		}
		if m := regexp.MustCompile(`listening at (\S+?:\d+)`).FindStringSubmatch(line); m != nil {
			s.addr = m[1]
		}
	}
	return s
}

// stop ends serve and returns all that it has said.
func (s *served) stop(t *testing.T) string {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, s.stderr)
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("serve: %v: %s", err, s.said.String())
	}
	return s.said.String()
}

func (s *served) get(t *testing.T, path, token string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+s.addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func (s *served) post(t *testing.T, path, body string) (status int, answer string) {
	t.Helper()
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Post("http://"+s.addr+path, "application/json",
		strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// spanJSON1 is a request of one span, with a resource attribute that names a run, if any.
func spanJSON1(run string) string {
	return fmt.Sprintf(`{"resourceSpans":[{"resource":{"attributes":[{"key":"forkspan.run.id","value":{"stringValue":%q}}]},
		"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"hello",
		"startTimeUnixNano":"1790000000000000000","endTimeUnixNano":"1790000001000000000"}]}]}]}`, run)
}

// TestServe sends with an SDK, looks at the pages, and stops.
func TestServe(t *testing.T) {
	s := startServe(t, nil)
	exporter, err := otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpoint(s.addr), otlptracegrpc.WithInsecure())
	if err != nil {
		t.Fatal(err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
	const spans = 100
	for range spans {
		_, span := provider.Tracer("test").Start(t.Context(), "hello")
		span.End()
	}
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/healthz": "ok", "/readyz": "ok", "/metrics": "\nforkspan_spans_stored_total 100\n",
	} {
		if status, body := s.get(t, path, ""); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, answer := s.post(t, "/v1/metrics", "{}"); status != 404 || !strings.Contains(answer, "OTEL_METRICS_EXPORTER=none") {
		t.Errorf("metrics: %d %s", status, answer)
	}
	if said := s.stop(t); !strings.Contains(said, "100 spans in 1 request · 1 requests with metrics or logs refused") {
		t.Errorf("said %s", said)
	}
	var out bytes.Buffer
	streams := Streams{Stdout: &out, Stderr: &out, Stdin: strings.NewReader(""), Env: func(string) string { return "" }}
	if status := Main([]string{"ls", "--traces", "--all-runs", "--db", s.db}, streams); status != 0 ||
		strings.Count(out.String(), "hello") != 20 || !strings.Contains(out.String(), "80 more") {
		t.Errorf("ls: %d %s", status, &out)
	}
}

// TestServeRun wants spans that name a run of the store with it, and others with none.
func TestServeRun(t *testing.T) {
	s := startServe(t, nil)
	st, err := store.Open(t.Context(), s.db, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	run := store.Run{ID: store.NewRunID(), Kind: "run", Name: "x", Start: time.Now()}
	if err := st.PutRun(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{run.ID, "0000000000", "last", ""} {
		if status, answer := s.post(t, "/v1/traces", spanJSON1(id)); status != 200 {
			t.Errorf("%d %s", status, answer)
		}
	}
	s.stop(t)
	for id, want := range map[string]int{run.ID: 1, "": 3} {
		n := 0
		for _, err := range st.Requests(t.Context(), id) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != want {
			t.Errorf("run %q: %d requests, want %d", id, n, want)
		}
	}
}

// TestServeToken wants the token for all but the probes.
func TestServeToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*served{
		startServe(t, []string{"FORKSPAN_SERVE_TOKEN=s3cret"}), startServe(t, nil, "--token-file", file),
	} {
		for _, test := range []struct {
			path, token string
			status      int
		}{
			{"/healthz", "", 200}, {"/readyz", "", 200}, {"/metrics", "", 401}, {"/metrics", "wrong", 401}, {"/metrics", "s3cret", 200},
		} {
			if status, body := s.get(t, test.path, test.token); status != test.status {
				t.Errorf("%s with %q: %d %s", test.path, test.token, status, body)
			}
		}
		if status, _ := s.post(t, "/v1/traces", spanJSON1("")); status != 401 {
			t.Errorf("spans without token: %d", status)
		}
		if said := s.stop(t); strings.Contains(said, "s3cret") {
			t.Errorf("the token is said: %s", said)
		}
	}
}

// TestServeForwards passes spans on from the store.
func TestServeForwards(t *testing.T) {
	collector := forkspantest.NewCollector(t)
	s := startServe(t, nil, "--forward", collector.Endpoint())
	if status, answer := s.post(t, "/v1/traces", spanJSON1("")); status != 200 {
		t.Errorf("%d %s", status, answer)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := collector.WaitSpans(ctx, 1); err != nil {
		t.Error(err)
	}
	if said := s.stop(t); !strings.Contains(said, "1 passed on to "+collector.Addr()) {
		t.Errorf("said %s", said)
	}
}

// TestServeNotifies tells systemd when it is ready and when it stops.
func TestServeNotifies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := startServe(t, []string{"NOTIFY_SOCKET=" + path})
	var told []string
	read := func() {
		b := make([]byte, 100)
		n, err := l.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, string(b[:n]))
	}
	read()
	s.stop(t)
	read()
	if got := strings.Join(told, " "); got != "READY=1 STOPPING=1" {
		t.Errorf("told %q", got)
	}
}

// TestListenAddresses tells what is open to other machines.
func TestListenAddresses(t *testing.T) {
	for _, test := range []struct {
		listen               string
		want, name, isBeyond string
	}{
		{"127.0.0.1", "127.0.0.1:4317 127.0.0.1:4318", "", ""},
		{"::1", "[::1]:4317 [::1]:4318", "", ""},
		{"[::1]", "[::1]:4317 [::1]:4318", "", ""},
		{"127.0.0.2:9", "127.0.0.2:9", "", ""},
		{"localhost:9", "localhost:9", "localhost", ""},
		{":9", ":9", "", ":9"},
		{"0.0.0.0", "0.0.0.0:4317 0.0.0.0:4318", "", "0.0.0.0"},
		{"[::]:9", "[::]:9", "", "[::]:9"},
		{"::ffff:127.0.0.1", "[::ffff:127.0.0.1]:4317 [::ffff:127.0.0.1]:4318", "", ""},
		{"collector.lan", "collector.lan:4317 collector.lan:4318", "collector.lan", "collector.lan"},
		{"localhost.evil.example:9", "localhost.evil.example:9", "localhost.evil.example", "localhost.evil.example:9"},
	} {
		addresses, name, beyond, err := listenAddresses([]string{test.listen})
		if got := strings.Join(addresses, " "); err != nil || got != test.want || name != test.name || beyond != test.isBeyond {
			t.Errorf("%s: %q, %q, %q, %v", test.listen, got, name, beyond, err)
		}
	}
	for _, bad := range []string{"", "http://x", "a b", "::g"} {
		if got, _, _, err := listenAddresses([]string{bad}); err == nil {
			t.Errorf("%q: %q", bad, got)
		}
	}
}
