package genai

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// epoch is when the requests of the tests arrive; step lies between each two chunks of their scripted clock.
var epoch = time.Date(2026, 11, 22, 19, 31, 53, 0, time.UTC)

const step = 10 * time.Millisecond

func at(n int) time.Time { return epoch.Add(time.Duration(n) * step) }

// exchange is a request and its answer.
type exchange struct {
	path    string
	request []byte
	status  int
	header  http.Header
	body    []byte
}

// path returns what the captures were sent to, by the beginning of their names.
func capturePath(name string) string {
	for _, p := range [...]struct{ prefix, path string }{
		{"chat", "/v1/chat/completions"}, {"completions", "/v1/completions"}, {"completion-native", "/completion"},
		{"messages", "/v1/messages"}, {"responses", "/v1/responses"}, {"error", "/v1/chat/completions"},
	} {
		if strings.HasPrefix(name, p.prefix) {
			return p.path
		}
	}
	return ""
}

// capture reads an exchange from testdata.
func capture(t testing.TB, file string) exchange {
	t.Helper()
	request, err := os.ReadFile(filepath.Join("testdata", file+".request.json"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join("testdata", file+".response.http"))
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	// The bodies are stored without their chunked framing.
	head = bytes.Replace(head, []byte("Transfer-Encoding: chunked\r\n"), nil, 1)
	head = bytes.Replace(head, []byte("\r\ntransfer-encoding: chunked"), nil, 1)
	resp, err := http.ReadResponse(bufio.NewReader(io.MultiReader(bytes.NewReader(head),
		strings.NewReader("\r\n\r\n"))), nil)
	if err != nil {
		t.Fatal(err)
	}
	return exchange{path: capturePath(filepath.Base(file)), request: request, status: resp.StatusCode,
		header: resp.Header, body: body}
}

// stream makes an exchange with an event stream.
func stream(path, request, body string) exchange {
	return exchange{path: path, request: []byte(request), status: 200,
		header: http.Header{"Content-Type": {"text/event-stream"}}, body: []byte(body)}
}

// events splits a body behind each blank line.
func events(body []byte) [][]byte {
	var l [][]byte
	for _, e := range bytes.SplitAfter(body, []byte("\n\n")) {
		if len(e) > 0 {
			l = append(l, e)
		}
	}
	return l
}

// recording keeps the spans of a test.
type recording struct {
	*Recorder
	spans *tracetest.InMemoryExporter
}

func newRecording(t testing.TB, opts ...Option) recording {
	t.Helper()
	spans := tracetest.NewInMemoryExporter()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	t.Cleanup(func() { _ = tp.Shutdown(context.Background()) })
	return recording{NewRecorder(append([]Option{WithTracerProvider(tp)}, opts...)...), spans}
}

// begin sends the request at step 0 and the answer's header at step 1.
func (rec recording) begin(x exchange) *Request {
	r := rec.NewRequest(context.Background(), RequestInfo{
		Method: "POST", Path: x.path, Body: x.request, ServerAddress: "upstream", ServerPort: 8000, Received: epoch,
	})
	if x.status != 0 {
		r.ResponseHeader(x.status, x.header, at(1))
	}
	return r
}

// play runs the whole exchange, a chunk a step from step 2 on.
func (rec recording) play(x exchange, chunks [][]byte, err error) *Request {
	r := rec.begin(x)
	for i, c := range chunks {
		r.Chunk(c, at(2+i))
	}
	r.EndAt(err, at(2+len(chunks)))
	return r
}

// span returns the one span of a request among those that were exported.
func (rec recording) span(t testing.TB) tracetest.SpanStub {
	t.Helper()
	i := slices.IndexFunc(rec.spans.GetSpans(), func(s tracetest.SpanStub) bool { return !s.Parent.IsValid() })
	if i < 0 {
		t.Fatal("the request's span was not exported")
	}
	return rec.spans.GetSpans()[i]
}

func attrs(s tracetest.SpanStub) map[string]attribute.Value {
	m := map[string]attribute.Value{}
	for _, kv := range s.Attributes {
		m[string(kv.Key)] = kv.Value
	}
	return m
}

// index returns the event of a mark when every event was a chunk of its own, -1 when it is unset.
func index(m time.Time) int {
	if m.IsZero() {
		return -1
	}
	return int(m.Sub(epoch)/step) - 2
}
