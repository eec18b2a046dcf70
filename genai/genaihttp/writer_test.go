package genaihttp_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"go.opentelemetry.io/otel/codes"

	"forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/genai"
	"forkspan.dev/forkspan/genai/genaihttp"
)

// TestWriterKeepsItsInterfaces asks as handlers do, by type.
func TestWriterKeepsItsInterfaces(t *testing.T) {
	type can struct{ flush, hijack, readFrom, push bool }
	ask := func(w http.ResponseWriter) (c can) {
		_, c.flush = w.(http.Flusher)
		_, c.hijack = w.(http.Hijacker)
		_, c.readFrom = w.(io.ReaderFrom)
		_, c.push = w.(http.Pusher)
		return c
	}
	plain := httptest.NewRecorder()
	type bare struct{ http.ResponseWriter }
	writers := []http.ResponseWriter{
		bare{plain},
		plain,
		struct {
			bare
			http.Hijacker
		}{},
		struct {
			bare
			http.Flusher
			http.Hijacker
		}{},
		struct {
			bare
			http.Flusher
			io.ReaderFrom
		}{},
		struct {
			bare
			http.Flusher
			http.Hijacker
			io.ReaderFrom
		}{},
		struct {
			bare
			http.Flusher
			http.Pusher
		}{},
	}
	for _, w := range writers {
		var got can
		h := genaihttp.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			got = ask(w)
			panic(http.ErrAbortHandler)
		}))
		func() {
			defer func() { _ = recover() }()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		}()
		if want := ask(w); got != want {
			t.Errorf("%T: %+v, want %+v", w, got, want)
		}
	}
}

// TestController uses a writer through http.ResponseController, over HTTP/1 and HTTP/2.
func TestController(t *testing.T) {
	for _, version := range []int{1, 2} {
		server := httptest.NewUnstartedServer(genaihttp.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			c := http.NewResponseController(w)
			_, _ = io.WriteString(w, "a")
			if err := errors.Join(c.Flush(), c.EnableFullDuplex()); err != nil {
				t.Error(err)
			}
			if rf, ok := w.(io.ReaderFrom); ok {
				_, _ = rf.ReadFrom(strings.NewReader("b"))
			}
			_, _, err := c.Hijack()
			if version == 2 && !errors.Is(err, http.ErrNotSupported) || version == 1 && err != nil {
				t.Errorf("hijack HTTP/%d: %v", version, err)
			}
		})))
		server.EnableHTTP2 = version == 2
		server.StartTLS()
		res, err := server.Client().Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		if res.ProtoMajor != version {
			t.Errorf("HTTP/%d", res.ProtoMajor)
		}
		buf := make([]byte, 1)
		if _, err := io.ReadFull(res.Body, buf); err != nil {
			t.Error(err)
		}
		res.Body.Close()
		server.CloseClientConnections()
		server.Close()
	}
}

// TestUpgrade passes a WebSocket's handshake, and bytes both ways.
func TestUpgrade(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		_, _ = rw.WriteString("echo " + line)
		_ = rw.Flush()
	}))
	defer upstream.Close()
	target, _ := url.Parse(upstream.URL)
	spans := forkspantest.NewRecorder()
	provider := genaihttp.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	server := httptest.NewServer(genaihttp.Handler(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: genaihttp.Transport(&http.Transport{}, provider),
	}, provider))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET /v1/realtime HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", res, err)
	}
	_, _ = io.WriteString(conn, "hello\n")
	if line, _ := r.ReadString('\n'); line != "echo hello\n" {
		t.Errorf("got %q", line)
	}
	conn.Close()
	ended, err := spans.WaitSpans(patient(t), 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range ended {
		if s.Status().Code == codes.Error || attribute(s, genai.AttrStatusCode) != "101" {
			t.Errorf("span %q: %v, status %s", s.Name(), s.Status(), attribute(s, genai.AttrStatusCode))
		}
	}
}

// TestPanic lets a handler's panic go on, and ends the span as an error.
func TestPanic(t *testing.T) {
	spans := forkspantest.NewRecorder()
	h := genaihttp.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("sk-prompt-text") }),
		genaihttp.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))))
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		func() {
			defer func() {
				if p := recover(); p != "sk-prompt-text" {
					t.Errorf("recovered %v", p)
				}
			}()
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, chatPath, nil))
		}()
	}
	if got := spans.Spans(); len(got) != 2 || got[0].Status().Code != codes.Error || got[1].Status().Code != codes.Error {
		t.Errorf("spans\n%s", spans.Tree())
	}
}

// TestRoute takes the route from a ServeMux below or above.
func TestRoute(t *testing.T) {
	for _, above := range []bool{false, true} {
		spans := forkspantest.NewRecorder()
		provider := genaihttp.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
		mux := http.NewServeMux()
		var inner http.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		if above {
			inner = genaihttp.Handler(inner, provider)
		}
		mux.Handle("GET /models/{name}", inner)
		var outer http.Handler = mux
		if !above {
			outer = genaihttp.Handler(mux, provider)
		}
		outer.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/models/a", nil))
		s := spans.Spans()[0]
		if s.Name() != "GET /models/{name}" || attribute(s, "http.route") != "/models/{name}" {
			t.Errorf("span %q, route %q", s.Name(), attribute(s, "http.route"))
		}
	}
}
