package genaihttp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/genai/genaihttp"
)

const exampleBody = `{"model":"fake-model","stream":true,"messages":[]}`

// A gateway: the middleware around a ReverseProxy with the transport.
func ExampleHandler() {
	server, err := forkspantest.StartModelServer()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	spans := forkspantest.NewRecorder()
	tracing := genaihttp.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))

	target, _ := url.Parse(server.URL())
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	gateway := httptest.NewServer(genaihttp.Handler(&httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		FlushInterval: -1,
		Transport:     genaihttp.Transport(base, tracing),
	}, tracing))
	defer gateway.Close()

	res, err := http.Post(gateway.URL+"/v1/chat/completions", "application/json", strings.NewReader(exampleBody))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	http.DefaultClient.CloseIdleConnections()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := spans.WaitSpans(ctx, 2); err != nil {
		fmt.Println(err)
	}
	fmt.Print(spans.Tree("gen_ai.response.finish_reasons"))
	// Output:
	// POST /v1/chat/completions [server]
	//   chat fake-model [client] gen_ai.response.finish_reasons=["stop"]
}

// A client of an LLM server, with a line for each request.
func ExampleTransport() {
	server, err := forkspantest.StartModelServer()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	client := http.Client{Transport: genaihttp.Transport(base, genaihttp.WithResult(func(_ context.Context, r genaihttp.Result) {
		_, seen := r.Marks.TimeToFirstToken()
		fmt.Println(r.Status, r.Call.Model(), r.Call.FinishReasons, "first token:", seen)
	}))}

	res, err := client.Post(server.URL()+"/v1/chat/completions", "application/json", strings.NewReader(exampleBody))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	// Output: 200 fake-model [stop] first token: true
}
