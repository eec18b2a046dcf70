package interop

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"forkspan.dev/forkspan/forkspantest"
)

// TestProxyBeforePython has the chain caller → proxy's SERVER span → its CLIENT span → the span of a Python server, on every
// route, plain and streamed; and requests without headers as traces of their own.
func TestProxyBeforePython(t *testing.T) {
	for _, version := range []string{"newest", "oldest"} {
		t.Run(version, func(t *testing.T) { proxyBeforePython(t, version) })
	}
}

const (
	callerTrace = "0af7651916cd43dd8448eb211c80319c"
	callerSpan  = "b7ad6b7169203331"
)

func proxyBeforePython(t *testing.T, version string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	l.Close()
	file := filepath.Join(t.TempDir(), "run.jsonl")
	args := append([]string{"run", "-o", file, "--proxy", "127.0.0.1:0:" + port, "--"}, python(version, "server.py", port)...)
	cmd := exec.CommandContext(ctx, ours("forkspan"), args...)
	cmd.Env = environment("XDG_STATE_HOME=" + t.TempDir())
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(stderr)
	address := regexp.MustCompile(`proxy (http://\S+) →`)
	var url string
	for url == "" && said.Scan() {
		if m := address.FindStringSubmatch(said.Text()); m != nil {
			url = m[1]
		}
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the server said %q, %v", line, err)
	}

	client := &http.Client{Transport: &http.Transport{}}
	send := func(url, body string, header http.Header) {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = header
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d, %v", url, res.StatusCode, err)
		}
	}
	routes := []string{"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/messages",
		"/completion", "/api/chat", "/api/generate", "/v1/audio/transcriptions"}
	requests := 0
	for _, route := range routes {
		for _, body := range []string{`{"model":"m"}`, `{"model":"m","stream":true}`} {
			send(url+route, body, http.Header{"Traceparent": {"00-" + callerTrace + "-" + callerSpan + "-01"}})
			send(url+route, body, http.Header{})
			requests += 2
		}
	}
	send("http://127.0.0.1:"+port+"/quit", "{}", http.Header{})
	client.CloseIdleConnections()
	for said.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}

	checkRequests(t, readSpans(t, file), requests)
}

// checkRequests follows each span of the Python server up to the client.
func checkRequests(t *testing.T, all []forkspantest.Span, requests int) {
	t.Helper()
	spans := map[string]forkspantest.Span{}
	var run string // the trace of the run
	for _, s := range all {
		spans[hex.EncodeToString(s.GetSpanId())] = s
		if _, ok := s.Attribute("process.pid"); ok {
			run = hex.EncodeToString(s.GetTraceId())
		}
	}
	parent := func(s forkspantest.Span) string { return hex.EncodeToString(s.GetParentSpanId()) }
	found, continued := 0, 0
	for _, s := range spans {
		if s.GetName() != "llm_request" {
			continue
		}
		found++
		path, _ := s.Attribute("test.path")
		out := spans[parent(s)]
		in := spans[parent(out)]
		if n, _ := s.Attribute("test.traceparents"); n != int64(1) {
			t.Errorf("%s: the server got %v traceparents", path, n)
		}
		if out.GetKind() != tracepb.Span_SPAN_KIND_CLIENT || in.GetKind() != tracepb.Span_SPAN_KIND_SERVER {
			t.Errorf("%s: below %q, below %q", path, out.GetName(), in.GetName())
		}
		switch trace := hex.EncodeToString(s.GetTraceId()); {
		case trace == callerTrace && parent(in) == callerSpan:
			continued++
		case trace == callerTrace, trace == run, parent(in) != "":
			t.Errorf("%s: in trace %s, below %q", path, trace, parent(in))
		}
	}
	if found != requests || continued != requests/2 {
		t.Errorf("%d requests of %d, %d continued", found, requests, continued)
	}
}
