package report

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/proxy"
)

// bodies is a sink that keeps what it is given.
type bodies struct{ all [][]byte }

func (b *bodies) Append(_ context.Context, body []byte, _ otlp.Summary) error {
	b.all = append(b.all, bytes.Clone(body))
	return nil
}

// Requests through the real proxy, the server's spans as vLLM sends them: a stream, an answer in one piece, and a failure.
func TestRequestsOfProxy(t *testing.T) {
	t.Setenv("TRACEPARENT", "")
	upstream := forkspantest.NewModelServer(t)
	to, err := url.Parse(upstream.URL())
	if err != nil {
		t.Fatal(err)
	}
	sink := &bodies{}
	p, err := proxy.New(proxy.Config{Upstream: to, Sink: sink})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(p)
	defer front.Close()
	for _, call := range []struct{ path, body string }{
		{"/v1/chat/completions", `{"model":"asked","messages":[],"stream":true,"stream_options":{"include_usage":true}}`},
		{"/v1/chat/completions", `{"model":"asked","messages":[]}`},
		{"/v1/embeddings", `{"model":"asked","input":"x"}`},
	} {
		res, err := http.Post(front.URL+call.path, "application/json", strings.NewReader(call.body))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	front.Close()
	if err := p.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := &Source{}
	for _, body := range sink.all {
		if err := s.AddRequest(body); err != nil {
			t.Fatal(err)
		}
	}
	var server []byte
	for _, r := range upstream.Requests() {
		parent := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(r.Header)))
		f := spanFields{start: at(0), end: at(1), kind: otlp.KindServer, name: "llm_request"}
		f.trace, f.parent, f.span = otlp.TraceID(parent.TraceID()), otlp.SpanID(parent.SpanID()), otlp.SpanID{1}
		if r.Path != "/v1/embeddings" {
			server = f.append(server, engine(1e-3, 2e-3, nil)) // microseconds: less than the client waits
		}
	}
	if err := s.AddRequest(envelope(server)); err != nil {
		t.Fatal(err)
	}
	r := Build([]*Source{s}, Options{By: []Key{ByModel, ByRoute}})
	if len(r.Groups) != 2 || r.Requests != 3 || r.Failed != 1 {
		t.Fatalf("%+v", r)
	}
	g := r.Groups[0]
	if g.Model != "asked" || g.Route != "/v1/chat/completions" || g.Requests != 2 || g.Failed != 0 || g.Input == 0 || g.Output == 0 {
		t.Errorf("chats: %+v", g)
	}
	counts := map[string]int{}
	for _, v := range g.Views {
		for _, m := range v.Measures {
			counts[v.Side+" "+m.Name] = m.All.Count
		}
	}
	for name, want := range map[string]int{
		"client first token": 1, "client end to end": 2, "server end to end": 2, "difference first token": 1,
		"difference end to end": 2,
	} {
		if counts[name] != want {
			t.Errorf("%s: %d, want %d; all: %v", name, counts[name], want, counts)
		}
	}
	if g := r.Groups[1]; g.Route != "/v1/embeddings" || g.Failed != 1 || g.Failures[0].Kind == "" || len(g.Views) != 0 {
		t.Errorf("the failed one: %+v", g)
	}
}
