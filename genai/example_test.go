package genai_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"forkspan.dev/forkspan/genai"
)

// A door of any kind hands over bytes with the times at which they came; here the clock is scripted.
func ExampleRecorder() {
	spans := tracetest.NewInMemoryExporter()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	defer func() { _ = tp.Shutdown(context.Background()) }()
	recorder := genai.NewRecorder(genai.WithTracerProvider(tp))

	start := time.Date(2026, 11, 22, 19, 0, 0, 0, time.UTC)
	after := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

	r := recorder.NewRequest(context.Background(), genai.RequestInfo{
		Method: "POST", Path: "/v1/chat/completions", Received: start,
		Body: []byte(`{"model":"llama3.2","stream":true,"messages":[{"role":"user","content":"Hello"}]}`),
	})
	// What is sent upstream under r.Context() is a child of the request.
	r.ResponseHeader(200, http.Header{"Content-Type": {"text/event-stream"}}, after(5))
	r.Chunk([]byte(`data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}`+"\n\n"), after(6))
	r.Chunk([]byte(`data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}`+"\n"), after(200))
	r.Chunk([]byte("\n"+`data: {"choices":[{"index":0,"delta":{"content":"!"},"finish_reason":"stop"}]}`+"\n\n"),
		after(212))
	r.Chunk([]byte(`data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}`+"\n\ndata: [DONE]\n\n"),
		after(213))
	r.EndAt(nil, after(214))

	call := r.Call()
	fmt.Println(spans.GetSpans()[0].Name)
	fmt.Println("first token after", call.Latency.FirstToken.Value)
	fmt.Println(call.FinishReasons, call.Usage.Output.Value, "tokens")
	// Output:
	// chat llama3.2
	// first token after 212ms
	// [stop] 3 tokens
}

// The client left before the first token: the mark is unset, not zero.
func ExampleRequest_End() {
	r := genai.NewRequest(context.Background(), genai.RequestInfo{Method: "POST", Path: "/api/chat"})
	r.ResponseHeader(200, http.Header{"Content-Type": {"application/x-ndjson"}}, time.Now())
	r.End(genai.ErrClientGone)

	_, ok := r.Marks().TimeToFirstToken()
	fmt.Println(ok, r.Call().ErrorType)
	// Output: false client_gone
}

func ExampleDetectAPI() {
	fmt.Println(genai.DetectAPI("POST", "/gateway/v1/messages"))
	fmt.Println(genai.DetectAPI("GET", "/v1/models"))
	// Output:
	// messages
	// unknown
}

// Attributes of vLLM's llm_request span.
func ExampleReadCall() {
	call, ok := genai.ReadCall(maps.All(map[string]any{
		"gen_ai.latency.time_to_first_token":  0.212,
		"gen_ai.latency.time_in_model_decode": 0.5,
		"gen_ai.latency.time_in_queue":        -81234.5, // never scheduled
		"gen_ai.latency.e2e":                  0.75,
		"gen_ai.usage.completion_tokens":      11,
	}))
	fmt.Println(ok, call.Dialect)
	fmt.Println(call.Latency.FirstToken.Value, call.Latency.PerOutputToken.Value, call.Latency.Queue.Set)
	// Output:
	// true vllm
	// 212ms 50ms false
}

func ExampleParseGaps() {
	gaps, err := genai.ParseGaps("kE6QTg==")
	fmt.Println(gaps.Len(), err)
	for gap := range gaps.All() {
		fmt.Println(gap)
	}
	// Output:
	// 2 <nil>
	// 10ms
	// 10ms
}
