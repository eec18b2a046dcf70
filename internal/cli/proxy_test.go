package cli

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/proxy"
	"forkspan.dev/forkspan/internal/store"
)

// watchedBuffer is a terminal that can be waited for.
type watchedBuffer struct {
	mu      sync.Mutex
	b       bytes.Buffer
	changed chan struct{} // capacity 1
}

func (b *watchedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
	return b.b.Write(p)
}

func (b *watchedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *watchedBuffer) wait(ctx context.Context, t *testing.T, want *regexp.Regexp) []string {
	t.Helper()
	for {
		if m := want.FindStringSubmatch(b.String()); m != nil {
			return m
		}
		select {
		case <-b.changed:
		case <-ctx.Done():
			t.Fatalf("wait for %v in\n%s", want, b.String())
		}
	}
}

// TestProxyStoresRequests runs the command until it is told to end, and looks for secrets in what it leaves.
func TestProxyStoresRequests(t *testing.T) {
	const prompt, key = "xylophone-prompt", "sk-quokka0123456789abcdef"
	t.Setenv("FORKSPAN_RUN", "")
	server := forkspantest.NewModelServer(t)
	upstream, err := proxy.ParseUpstream(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	stderr := &watchedBuffer{changed: make(chan struct{}, 1)}
	path := filepath.Join(t.TempDir(), "forkspan.db")
	a := &app{Streams: Streams{Stdout: io.Discard, Stderr: stderr, Env: func(string) string { return "" }}, dbPath: path}
	s := &proxySession{app: a, flags: proxyFlags{listen: "127.0.0.1:0"}}
	s.openSink(upstream)
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.serve(running, func() {}, upstream) }()
	address := stderr.wait(ctx, t, regexp.MustCompile(`(http://127\.0\.0\.1:\d+) → `+regexp.QuoteMeta(server.URL())))[1]

	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/v1/chat/completions?key="+key,
		strings.NewReader(`{"model":"fake-model","stream":true,"messages":[{"role":"user","content":"`+prompt+`"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	said := stderr.String()
	if !strings.Contains(said, "fake-model 200  first token ") || !strings.Contains(said, "proxied 1 request · 2 spans, 0 dropped") {
		t.Errorf("said\n%s", said)
	}

	st, err := store.Open(ctx, path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	run, err := st.FindRun(ctx, "last")
	if err != nil || run.Kind != "proxy" || run.End.IsZero() || run.Account.Spans != 2 || run.Account.Traces != 1 {
		t.Errorf("run %+v, %v", run, err)
	}
	spans := 0
	for request, err := range st.Requests(ctx, run.ID) {
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := otlp.Decode(request.Body)
		if err != nil {
			t.Fatal(err)
		}
		spans += len(decoded)
		said += string(request.Body)
	}
	if spans != 2 {
		t.Errorf("%d spans", spans)
	}
	for _, word := range []string{prompt, key, "world"} {
		if strings.Contains(said, word) {
			t.Errorf("%q is in the store or on the terminal", word)
		}
	}
}
