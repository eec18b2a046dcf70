package genai

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// noExport is a processor that drops what ends, so that the SDK's own part is all that is measured beside ours.
type noExport struct{}

func (noExport) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (noExport) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (noExport) Shutdown(context.Context) error                  { return nil }
func (noExport) ForceFlush(context.Context) error                { return nil }

func benchRecorder(b *testing.B) *Recorder {
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(noExport{}))
	b.Cleanup(func() { _ = tp.Shutdown(context.Background()) })
	return NewRecorder(WithTracerProvider(tp))
}

var benchRequest = []byte(`{"model":"llama3.2","stream":true,"messages":[{"role":"user","content":"hello"}],"max_tokens":512}`)

// BenchmarkChunk measures one chunk of one event in the middle of a stream: what a proxy pays for each token.
func BenchmarkChunk(b *testing.B) {
	for _, bench := range []struct{ name, path, event string }{
		{"chat", "/v1/chat/completions",
			`data: {"id":"chatcmpl-chat-stream","object":"chat.completion.chunk","created":1795375914,"model":"./tiny",` +
				`"choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null,"token_ids":null}]}` + "\n\n"},
		{"messages", "/v1/messages", "event: content_block_delta\n" +
			`data: {"type":"content_block_delta","delta":{"type":"text_delta","text":" token"},"index":0}` + "\n\n"},
		{"responses", "/v1/responses", "event: response.output_text.delta\n" +
			`data: {"content_index":0,"delta":" token","item_id":"msg_93d78651f68ecc48","output_index":0,"type":"response.output_text.delta"}` + "\n\n"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			rec := benchRecorder(b)
			chunk := []byte(bench.event)
			var r *Request
			now := time.Now()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%500 == 0 { // as many as a stream has, so that growing lists count
					r = rec.NewRequest(context.Background(), RequestInfo{Method: "POST", Path: bench.path,
						Body: benchRequest})
					r.ResponseHeader(200, http.Header{"Content-Type": {"text/event-stream"}}, now)
				}
				now = now.Add(20 * time.Millisecond)
				r.Chunk(chunk, now)
			}
		})
	}
}

// BenchmarkRequest measures a whole request that is not streamed.
func BenchmarkRequest(b *testing.B) {
	rec := benchRecorder(b)
	x := capture(b, "vllm-http/chat")
	b.ReportAllocs()
	for b.Loop() {
		r := rec.NewRequest(context.Background(), RequestInfo{Method: "POST", Path: x.path, Body: x.request,
			ServerAddress: "h", ServerPort: 1})
		r.ResponseHeader(200, x.header, time.Time{})
		r.Chunk(x.body, time.Time{})
		r.End(nil)
	}
}

// BenchmarkLargeEvent measures an event of 1 MiB that comes in pieces of 32 KiB.
func BenchmarkLargeEvent(b *testing.B) {
	rec := benchRecorder(b)
	event := []byte(sseBody(chatDelta("0", `{"content":"`+string(bytes.Repeat([]byte("x"), 1<<20))+`"}`, "null")))
	b.SetBytes(int64(len(event)))
	r := rec.NewRequest(context.Background(), RequestInfo{Method: "POST", Path: chatPath, Body: benchRequest})
	r.ResponseHeader(200, http.Header{"Content-Type": {"text/event-stream"}}, time.Time{})
	b.ReportAllocs()
	for b.Loop() {
		for p := event; len(p) > 0; p = p[min(len(p), 32<<10):] {
			r.Chunk(p[:min(len(p), 32<<10)], epoch)
		}
	}
	r.End(nil)
}

// BenchmarkReadCall measures reading one request from the attributes of vLLM's span: a report reads a million.
func BenchmarkReadCall(b *testing.B) {
	attrs := []attribute.KeyValue{
		attribute.Float64(AttrVLLMTimeToFirstToken, 0.2), attribute.Float64(AttrVLLME2E, 2),
		attribute.Float64(AttrVLLMQueue, 0.01),
		attribute.Int(AttrVLLMPromptTokens, 20), attribute.Int(AttrVLLMCompletionTokens, 200),
		attribute.Float64(AttrVLLMPrefill, 0.1),
		attribute.Float64(AttrVLLMDecode, 1.8), attribute.Float64(AttrVLLMInference, 1.9),
		attribute.String(AttrVLLMRequestID, "chatcmpl-1"),
		attribute.Float64(AttrRequestTopP, 1), attribute.Int(AttrRequestMaxTokens, 200),
		attribute.Int(AttrVLLMRequestN, 1),
	}
	span := tracetest.SpanStub{Attributes: attrs}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := ReadCall(spanAttributes(span)); !ok {
			b.Fatal("not a call")
		}
	}
}
