package proxy

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	fst "forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/internal/otlp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits for events that are sure to come.
const patience = time.Minute

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

const (
	chatPath   = "/v1/chat/completions"
	streamBody = `{"model":"fake-model","stream":true,"messages":[{"role":"user","content":"hi"}]}`
)

// memory is a sink that keeps everything.
type memory struct {
	mu     sync.Mutex
	bodies [][]byte
}

func (m *memory) Append(_ context.Context, body []byte, _ otlp.Summary) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bodies = append(m.bodies, bytes.Clone(body))
	return nil
}

func (m *memory) spans(t *testing.T) (spans []otlp.Span) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, body := range m.bodies {
		s, err := otlp.Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		spans = append(spans, s...)
	}
	return spans
}

// fixture is a fake server, a proxy in front of it, and a client.
type fixture struct {
	upstream *fst.ModelServer
	server   *Server
	sink     *memory
	lines    *syncBuffer
	client   *http.Client
	url      string
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newFixture(t *testing.T, ask bool, opts ...fst.ModelServerOption) *fixture {
	t.Helper()
	f := &fixture{upstream: fst.NewModelServer(t, opts...), sink: &memory{}, lines: &syncBuffer{}}
	upstream, err := url.Parse(f.upstream.URL())
	if err != nil {
		t.Fatal(err)
	}
	f.server, err = Listen("127.0.0.1:0", Config{Upstream: upstream, Sink: f.sink, RunID: "RUN", AskUsage: ask, Lines: f.lines})
	if err != nil {
		t.Fatal(err)
	}
	f.url = "http://" + f.server.Addr().String()
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	f.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		f.end(t)
	})
	return f
}

// end shuts the proxy down, after which all spans are in the sink. It may be called twice.
func (f *fixture) end(t *testing.T) {
	t.Helper()
	if err := f.server.Shutdown(patient(t)); err != nil {
		t.Error(err)
	}
}

func (f *fixture) do(t *testing.T, method, path, body string, header http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(patient(t), method, f.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if host := header.Get("Host"); host != "" {
		r.Host = host
	}
	res, err := f.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(got)
}

func TestRequestPasses(t *testing.T) {
	f := newFixture(t, false)
	res, _ := f.do(t, http.MethodPost, chatPath+"?a=%zz&b=1;c", streamBody, http.Header{
		"Host": {"elsewhere.example"}, "Authorization": {"Bearer sk-quokka0123456789abcdef"}, "X-Forwarded-For": {"10.0.0.1"},
		"Accept-Encoding": {"identity"},
	})
	got := f.upstream.Requests()[0]
	if got.Path != chatPath+"?a=%zz&b=1;c" || string(got.Body) != streamBody {
		t.Errorf("the server got %s with %q", got.Path, got.Body)
	}
	if got.Header.Get("Authorization") != "Bearer sk-quokka0123456789abcdef" || "http://"+got.Host != f.upstream.URL() {
		t.Errorf("the server got %v for %s", got.Header, got.Host)
	}
	if got.Header.Get("X-Forwarded-For") != "10.0.0.1, 127.0.0.1" || got.Header.Get("X-Forwarded-Host") != "elsewhere.example" {
		t.Errorf("the server got %v", got.Header)
	}
	if id := res.Header.Values("X-Trace-Id"); len(id) != 1 || id[0] != got.Header.Get("Traceparent")[3:35] {
		t.Errorf("X-Trace-Id %q, the server got %q", id, got.Header.Get("Traceparent"))
	}
	f.do(t, http.MethodGet, "/health", "", nil)
	f.do(t, http.MethodDelete, "/any/thing", "", nil)
	f.end(t)
	spans := f.sink.spans(t)
	if len(spans) != 6 {
		t.Fatalf("%d spans", len(spans))
	}
	for _, s := range spans {
		if s.Process.RunID != "RUN" || s.Process.PID == 0 {
			t.Errorf("span %q is of %+v", s.Name, s.Process)
		}
	}
	for _, body := range f.sink.bodies {
		if bytes.Contains(body, []byte("quokka")) {
			t.Error("a key is in the spans")
		}
	}
}

// TestUnsampledCallerIsSeen checks that what the wire says is not sampled is stored all the same.
func TestUnsampledCallerIsSeen(t *testing.T) {
	f := newFixture(t, false)
	const caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	f.do(t, http.MethodPost, chatPath, streamBody, http.Header{"Traceparent": {caller}})
	got := f.upstream.Requests()[0].Header.Values("Traceparent")
	if len(got) != 1 || got[0][:36] != caller[:36] || got[0][52:] != "-00" {
		t.Errorf("the server got %q", got)
	}
	f.end(t)
	spans := f.sink.spans(t)
	if len(spans) != 2 {
		t.Fatalf("%d spans", len(spans))
	}
	for _, s := range spans {
		if s.Flags&1 != 0 {
			t.Errorf("span %q says that it is sampled", s.Name)
		}
	}
}

func TestLines(t *testing.T) {
	f := newFixture(t, false)
	f.do(t, http.MethodPost, chatPath, streamBody, nil)
	f.do(t, http.MethodPost, chatPath, `{"model":"fake-model"}`, nil)
	f.do(t, http.MethodGet, "/health", "", nil)
	f.upstream.Reply(fst.ErrorReply(429, "slow down"))
	f.do(t, http.MethodPost, chatPath, `{"model":"evil\u001b[2J"}`, nil)
	f.end(t)
	const took, id = `[0-9.]+(ms|µs|s)`, `  [0-9a-f]{8}`
	want := regexp.MustCompile(`^POST /v1/chat/completions fake-model 200  first token ` + took + `(  ~[0-9.]+ tok/s)?` + id + `
POST /v1/chat/completions fake-model 200  ` + took + id + `
GET /health 200  ` + took + id + `
POST /v1/chat/completions evil\?\[2J 429  ` + took + id + `
$`)
	if got := f.lines.String(); !want.MatchString(got) {
		t.Errorf("got\n%s", got)
	}
	if got := f.server.Stats(); got != (Stats{Requests: 4, Stored: 8}) {
		t.Errorf("stats %+v", got)
	}
}

// TestClientGone cancels the request upstream, and leaves no connection.
func TestClientGone(t *testing.T) {
	f := newFixture(t, false)
	f.upstream.ReplyAll(fst.Reply{Steps: []fst.Step{fst.Role(), fst.Token("abc"), fst.Hang()}})
	const clients = 20
	for range clients {
		ctx, leave := context.WithCancel(patient(t))
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url+chatPath, strings.NewReader(streamBody))
		if err != nil {
			t.Fatal(err)
		}
		res, err := f.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(res.Body)
		for lines.Scan() && !strings.Contains(lines.Text(), "abc") {
		}
		leave()
		res.Body.Close()
	}
	if err := f.upstream.WaitGone(patient(t), clients); err != nil {
		t.Fatal(err)
	}
	if err := f.upstream.WaitNoConnections(patient(t)); err != nil {
		t.Fatal(err)
	}
	f.end(t)
	if got := strings.Count(f.lines.String(), " 200 client gone  first token "); got != clients {
		t.Errorf("lines\n%s", f.lines.String())
	}
	if got := f.server.Stats(); got != (Stats{Requests: clients, Failed: clients, Stored: 2 * clients}) {
		t.Errorf("stats %+v", got)
	}
}

func TestServerIsDown(t *testing.T) {
	f := newFixture(t, false)
	f.upstream.Close()
	res, body := f.do(t, http.MethodPost, chatPath, streamBody, nil)
	if res.StatusCode != http.StatusBadGateway || !strings.Contains(body, "could not be reached") || res.Header.Get("X-Trace-Id") == "" {
		t.Errorf("status %d, %q", res.StatusCode, body)
	}
	f.end(t)
}

// TestShutdownCuts ends the proxy while a client waits for more.
func TestShutdownCuts(t *testing.T) {
	f := newFixture(t, false)
	f.upstream.Reply(fst.Reply{Steps: []fst.Step{fst.Role(), fst.Hang()}})
	r, err := http.NewRequestWithContext(patient(t), http.MethodPost, f.url+chatPath, strings.NewReader(streamBody))
	if err != nil {
		t.Fatal(err)
	}
	res, err := f.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := f.server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if got := f.server.Stats(); got.Requests != 1 || got.Stored != 2 {
		t.Errorf("stats %+v", got)
	}
}

// TestNoStreamIsCut has a server that answers at once; bench/proxy sends 10,000 of these.
func TestNoStreamIsCut(t *testing.T) {
	const streams, atOnce = 2000, 16
	f := newFixture(t, false, fst.WithoutRequests())
	f.upstream.ReplyAll(fst.Reply{Steps: []fst.Step{fst.Event("{}"), fst.Done()}})
	var clients sync.WaitGroup
	for range atOnce {
		clients.Go(func() {
			for range streams / atOnce {
				res, err := f.client.Post(f.url+chatPath, "application/json", strings.NewReader(streamBody))
				if err != nil {
					t.Error(err)
					continue
				}
				if body, err := io.ReadAll(res.Body); err != nil || !strings.HasSuffix(string(body), "[DONE]\n\n") {
					t.Errorf("%q, %v", body, err)
				}
				res.Body.Close()
			}
		})
	}
	clients.Wait()
	f.end(t)
	if got := f.server.Stats(); got != (Stats{Requests: streams, Stored: 2 * streams}) {
		t.Errorf("stats %+v", got)
	}
}
