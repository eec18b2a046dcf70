package interop

import (
	"bufio"
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forkspan.dev/forkspan/forkspantest"
)

// A child is a foreign program that sends one span "work" to wherever its environment says.
type child struct {
	name     string
	command  func() []string
	protocol string // what its exporter speaks: grpc, http/protobuf or http/json
}

var children = []child{
	{"python grpc", func() []string { return python("newest", "emit.py", "grpc") }, "grpc"},
	{"python http", func() []string { return python("newest", "emit.py", "http") }, "http/protobuf"},
	{"oldest python grpc", func() []string { return python("oldest", "emit.py", "grpc") }, "grpc"},
	{"oldest python http", func() []string { return python("oldest", "emit.py", "http") }, "http/protobuf"},
	{"go grpc", func() []string { return []string{ours("plain"), "grpc"} }, "grpc"},
	{"go http", func() []string { return []string{ours("plain"), "http"} }, "http/protobuf"},
	{"node", func() []string { return []string{"node", filepath.Join("node", "emit.mjs")} }, "http/protobuf"},
}

// hostile is what a user may have in the environment for a backend of their own, and what keeps a child silent, or kills it,
// when the child applies it to a plain connection on loopback.
func hostile(t *testing.T) []string {
	missing := filepath.Join(t.TempDir(), "missing.pem")
	var vars []string
	for _, prefix := range []string{"OTEL_EXPORTER_OTLP_", "OTEL_EXPORTER_OTLP_TRACES_"} {
		vars = append(vars,
			prefix+"CERTIFICATE="+missing,
			prefix+"CLIENT_CERTIFICATE="+missing,
			prefix+"CLIENT_KEY="+missing,
			prefix+"HEADERS=authorization=Bearer%20secret,x-tenant=blue",
			prefix+"INSECURE=false",
			prefix+"COMPRESSION=gzip",
		)
	}
	const nobody = "http://127.0.0.1:9" // the discard port: nobody listens
	for _, name := range []string{"http_proxy", "https_proxy", "all_proxy", "grpc_proxy"} {
		vars = append(vars, name+"="+nobody, strings.ToUpper(name)+"="+nobody)
	}
	return vars
}

// Any OTLP program is traced by `forkspan run` with nothing but its environment.
func TestAnyChild(t *testing.T) {
	for _, c := range children {
		for name, vars := range map[string][]string{"plain": nil, "hostile": hostile(t)} {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				spans := underRun(t, vars, c.command()...)
				checkWork(t, spans, "work")
			})
		}
	}
}

// A program that takes its endpoint as an argument gets it through a placeholder. telemetrygen takes no context from its
// environment, so its spans are a trace of their own.
func TestTelemetrygen(t *testing.T) {
	for name, args := range map[string][]string{
		"grpc": {"--otlp-insecure", "--otlp-endpoint", "{forkspan.hostport}"},
		"http": {"--otlp-insecure", "--otlp-http", "--otlp-endpoint", "{forkspan.hostport}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := append([]string{filepath.Join(cache, "bin", "telemetrygen"), "traces", "--traces", "3", "--rate", "0"}, args...)
			spans := underRun(t, hostile(t), command...)
			want := "telemetrygen\n" + strings.Repeat("lets-go [client]\n  okey-dokey-0 [server]\n", 3)
			if got := forkspantest.Tree(spans); got != want {
				t.Errorf("tree:\n%swant:\n%s", got, want)
			}
		})
	}
}

// The user's own backend gets what it got without us, over TLS and with its headers, from children that know nothing of it.
func TestUsersBackend(t *testing.T) {
	for _, c := range children {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			backend := forkspantest.NewCollector(t, forkspantest.WithClientAuth())
			spans := underRun(t, []string{
				"OTEL_EXPORTER_OTLP_ENDPOINT=" + backend.Endpoint(),
				"OTEL_EXPORTER_OTLP_CERTIFICATE=" + backend.CAFile(),
				"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=" + backend.ClientCertFile(),
				"OTEL_EXPORTER_OTLP_CLIENT_KEY=" + backend.ClientKeyFile(),
				"OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20secret",
				"OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
				"CI=true", // waits for the backend at the end
			}, c.command()...)
			checkWork(t, spans, "work")
			if _, ok := backend.Find("work"); !ok {
				t.Errorf("the backend has no span of the child:\n%s", backend.Tree())
			}
			for _, r := range backend.Requests() {
				if got := r.Header.Get("Authorization"); got != "Bearer secret" || r.Client == "" {
					t.Errorf("authorization %q, client %q", got, r.Client)
				}
			}
		})
	}
}

// vLLM's way of setting itself up works below `forkspan run`, and a Go program below that.
func TestVLLMUnderRun(t *testing.T) {
	for _, version := range pythons {
		for _, way := range []string{"call", "async", "spawn", "fork"} {
			t.Run(version+"/"+way, func(t *testing.T) {
				t.Parallel()
				chain := []link{{"python", way}, goCommand}
				vars := append(hostile(t), "TRACEPARENT="+outer, "traceparent="+outer)
				spans := underRun(t, vars, command(chain, version, 1)...)
				checkWork(t, spans, "step 1")
				tree := forkspantest.Tree(spans)
				for _, span := range []string{"step 1", "step 2"} {
					if strings.Count(tree, span+"\n") != 1 {
						t.Errorf("want one %s in\n%s", span, tree)
					}
				}
			})
		}
	}
}

// checkWork checks that the span name is a child of the span of the command.
func checkWork(t *testing.T, spans []forkspantest.Span, name string) {
	t.Helper()
	work, ok := find(spans, name)
	if !ok {
		t.Fatalf("no span %q in\n%s", name, forkspantest.Tree(spans))
	}
	for _, s := range spans {
		if bytes.Equal(s.GetSpanId(), work.GetParentSpanId()) && bytes.Equal(s.GetTraceId(), work.GetTraceId()) {
			return
		}
	}
	t.Errorf("span %q has no parent in\n%s", name, forkspantest.Tree(spans))
}

func find(spans []forkspantest.Span, name string) (forkspantest.Span, bool) {
	for _, s := range spans {
		if s.GetName() == name {
			return s, true
		}
	}
	return forkspantest.Span{}, false
}

// underRun runs command under `forkspan run`, with a store of its own, and returns the spans of the file that -o writes.
func underRun(t *testing.T, vars []string, command ...string) []forkspantest.Span {
	t.Helper()
	file := filepath.Join(t.TempDir(), "run.jsonl")
	env := environment(append(vars, "XDG_STATE_HOME="+t.TempDir(), "INTEROP_NODE="+filepath.Join(cache, "node"))...)
	execute(t, env, append([]string{ours("forkspan"), "run", "-o", file, "--"}, command...)...)
	return readSpans(t, file)
}

// readSpans decodes a file of OTLP JSON lines by sending them to a collector, which is as independent a reader as any.
func readSpans(t *testing.T, file string) []forkspantest.Span {
	t.Helper()
	collector := forkspantest.NewCollector(t)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, len(content)+1)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for lines.Scan() {
		response, err := client.Post(collector.TracesEndpoint(), "application/json", bytes.NewReader(lines.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Fatalf("line is not OTLP JSON: %s", lines.Text())
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return collector.Spans()
}
