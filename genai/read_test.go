package genai

import (
	"bytes"
	"encoding/json"
	"iter"
	"maps"
	"net/http"
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

func seconds(s float64) Opt[time.Duration] { return Some(time.Duration(s * 1e9)) }

func TestReadCall(t *testing.T) {
	for _, c := range []struct {
		name  string
		attrs map[string]any
		want  Call
	}{
		{"vLLM", map[string]any{
			"gen_ai.latency.time_to_first_token": 0.5, "gen_ai.latency.e2e": 2.5, "gen_ai.latency.time_in_queue": 0.25,
			"gen_ai.latency.time_in_model_prefill": 0.125, "gen_ai.latency.time_in_model_decode": 2,
			"gen_ai.latency.time_in_model_inference": 2.125,
			"gen_ai.usage.prompt_tokens":             int64(7), "gen_ai.usage.completion_tokens": 5.0,
			"gen_ai.request.id": "chatcmpl-1", "gen_ai.request.n": int64(1),
			"gen_ai.request.max_tokens": int64(16), "gen_ai.request.temperature": int64(1), "gen_ai.request.top_p": 0.9,
		}, Call{
			Dialect: DialectVLLM, Provider: "vllm", RequestID: "chatcmpl-1", Choices: Some[int64](1),
			MaxTokens:   Some[int64](16),
			Temperature: Some(1.0), TopP: Some(0.9), Usage: Usage{Input: Some[int64](7), Output: Some[int64](5)},
			Latency: Latency{FirstToken: seconds(0.5), Total: seconds(2.5), Queue: seconds(0.25),
				Prefill: seconds(0.125), Decode: seconds(2),
				Inference: seconds(2.125), PerOutputToken: seconds(0.5)},
		}},
		{"vLLM, never scheduled", map[string]any{
			"gen_ai.latency.time_to_first_token": 0.0, "gen_ai.latency.e2e": 0.5,
			"gen_ai.latency.time_in_queue":         -81234.5,
			"gen_ai.latency.time_in_model_prefill": 81234.5, "gen_ai.latency.time_in_model_decode": 0.0,
			"gen_ai.latency.time_in_model_inference": 0.25,
		}, Call{Dialect: DialectVLLM, Provider: "vllm", Latency: Latency{Total: seconds(0.5), Decode: seconds(0)}}},
		{"current conventions", map[string]any{
			"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m",
			"gen_ai.response.model": "m-1",
			"gen_ai.response.id":    "r", "gen_ai.response.finish_reasons": []any{"stop", "length"},
			"gen_ai.request.stream":       true,
			"gen_ai.request.choice.count": int64(2), "gen_ai.usage.input_tokens": int64(3),
			"gen_ai.usage.output_tokens":           int64(4),
			"gen_ai.usage.cache_read.input_tokens": int64(1), "gen_ai.usage.cache_write.input_tokens": int64(2),
			"gen_ai.usage.reasoning.output_tokens": int64(3),
			"gen_ai.response.time_to_first_chunk":  0.5, "error.type": "timeout", "server.address": "h",
			"server.port":               int64(80),
			"http.response.status_code": int64(200), "url.path": "/a/b", "http.route": "/a/{x}",
		}, Call{
			Dialect: DialectGenAI, Operation: "chat", Provider: "openai", RequestModel: "m", ResponseModel: "m-1",
			ResponseID: "r", Route: "/a/{x}",
			FinishReasons: []string{"stop", "length"}, Stream: Some(true), Choices: Some[int64](2),
			ErrorType: "timeout", ServerAddress: "h", ServerPort: 80,
			StatusCode: 200, Latency: Latency{FirstEvent: seconds(0.5)},
			Usage: Usage{Some[int64](3), Some[int64](4), Some[int64](1), Some[int64](2), Some[int64](3)},
		}},
		{"older conventions", map[string]any{
			"gen_ai.system": "openai", "gen_ai.request.model": "m", "gen_ai.usage.prompt_tokens": "3",
			"gen_ai.usage.completion_tokens":           int64(4),
			"gen_ai.usage.cache_creation.input_tokens": int64(2), "gen_ai.server.time_to_first_token": 0.25,
		}, Call{Dialect: DialectGenAI, Provider: "openai", RequestModel: "m", Latency: Latency{FirstToken: seconds(0.25)},
			Usage: Usage{Input: Some[int64](3), Output: Some[int64](4), CacheWrite: Some[int64](2)}}},
		{"OpenInference", map[string]any{
			"openinference.span.kind": "LLM", "llm.model_name": "m", "llm.provider": "azure", "llm.system": "openai",
			"llm.token_count.prompt":     int64(3),
			"llm.token_count.completion": int64(4), "llm.token_count.prompt_details.cache_read": int64(1),
			"llm.token_count.prompt_details.cache_write":   int64(2),
			"llm.token_count.completion_details.reasoning": int64(3),
			"llm.invocation_parameters":                    `{"max_tokens":5,"temperature":0.5,"stream":true}`,
			"llm.finish_reason":                            "stop", "input.value": "secret",
		}, Call{Dialect: DialectOpenInference, Operation: "chat", Provider: "azure", RequestModel: "m",
			MaxTokens: Some[int64](5), Temperature: Some(0.5),
			Stream: Some(true), FinishReasons: []string{"stop"},
			Usage: Usage{Some[int64](3), Some[int64](4), Some[int64](1), Some[int64](2), Some[int64](3)}}},
		{"OpenInference, embedding", map[string]any{"openinference.span.kind": "EMBEDDING", "embedding.model_name": "e"},
			Call{Dialect: DialectOpenInference, Operation: "embeddings", RequestModel: "e"}},
		{"Traceloop", map[string]any{
			"llm.request.type": "completion", "gen_ai.system": "OpenAI", "gen_ai.request.model": "m",
			"llm.is_streaming":                     "True",
			"gen_ai.usage.cache_read_input_tokens": int64(1), "gen_ai.usage.cache_creation_input_tokens": int64(2),
			"gen_ai.usage.reasoning_tokens": int64(3),
			"llm.response.finish_reason":    "stop",
		}, Call{Dialect: DialectTraceloop, Operation: "text_completion", Provider: "OpenAI", RequestModel: "m",
			Stream: Some(true), FinishReasons: []string{"stop"},
			Usage: Usage{CacheRead: Some[int64](1), CacheWrite: Some[int64](2), Reasoning: Some[int64](3)}}},
		{"Traceloop, first version", map[string]any{
			"llm.request.type": "chat", "llm.vendor": "v", "llm.request.model": "m", "llm.response.model": "m-1",
			"llm.usage.prompt_tokens":     int64(3),
			"llm.usage.completion_tokens": int64(4), "llm.request.max_tokens": int64(5), "llm.temperature": 0.5,
			"llm.top_p": int64(1),
		}, Call{Dialect: DialectTraceloop, Operation: "chat", Provider: "v", RequestModel: "m", ResponseModel: "m-1",
			MaxTokens:   Some[int64](5),
			Temperature: Some(0.5), TopP: Some(1.0), Usage: Usage{Input: Some[int64](3), Output: Some[int64](4)}}},
		{"absurd numbers", map[string]any{
			"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": int64(-1),
			"gen_ai.usage.output_tokens": "many", "gen_ai.request.max_tokens": 1e300,
			"forkspan.gen_ai.time_to_first_token": -0.5, "forkspan.gen_ai.time_to_last_token": 1e9,
			"forkspan.gen_ai.time_to_headers": true,
			"forkspan.gen_ai.chunk_gaps":      "?",
		}, Call{Dialect: DialectGenAI, Operation: "chat"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := ReadCall(maps.All(c.attrs))
			if !ok || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestNotACall(t *testing.T) {
	for _, attrs := range []map[string]any{
		{}, {"http.route": "/"}, {"gen_ai.operation.name": "execute_tool", "gen_ai.usage.input_tokens": int64(1)},
		{"gen_ai.request.model": "m", "gen_ai.request.id": "1"}, // llm-d's scheduler spans
		{"openinference.span.kind": "CHAIN"}, {"llm.request.type": "rerank"}, {"forkspan.derived": true}, {"x": 1},
	} {
		if c, ok := ReadCall(maps.All(attrs)); ok {
			t.Errorf("%v is read as %+v", attrs, c)
		}
	}
}

// spanAttributes yields a span's attributes as a reader of stored spans would.
func spanAttributes(s tracetest.SpanStub) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for _, kv := range s.Attributes {
			if !yield(string(kv.Key), value(kv.Value)) {
				return
			}
		}
	}
}

func value(v attribute.Value) any { return v.AsInterface() }

// TestWhatIsWrittenIsRead reads the spans of all captures back.
func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, opts := range [][]Option{nil, {WithVLLMNames()}} {
		for _, c := range captures {
			rec := newRecording(t, opts...)
			x := capture(t, c.file)
			want := rec.play(x, events(x.body), nil).Call()
			got, ok := ReadCall(spanAttributes(rec.span(t)))
			// What is told with vLLM's names only, or only where it is not the default.
			want.RequestID, got.RequestID = "", ""
			want.Stream, got.Stream = Some(want.Stream.Or(false)), Some(got.Stream.Or(false))
			want.Choices, got.Choices = Some(want.Choices.Or(1)), Some(got.Choices.Or(1))
			want.Latency.Total, got.Latency.Total = Opt[time.Duration]{}, Opt[time.Duration]{}
			if len(opts) > 0 && !want.Latency.Decode.Set {
				got.Latency.Decode = Opt[time.Duration]{}
			}
			if len(want.FinishReasons) == 0 {
				want.FinishReasons = nil
			}
			if !ok || !reflect.DeepEqual(got, want) {
				t.Errorf("%s:\ngot  %+v\nwant %+v", c.file, got, want)
			}
		}
	}
}

// TestReadVLLMCapture reads the request spans of a real vLLM.
func TestReadVLLMCapture(t *testing.T) {
	data, err := os.ReadFile("../testdata/captures/vllm-serve.otlp.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	type anyValue struct {
		StringValue *string
		IntValue    *string
		DoubleValue *float64
		BoolValue   *bool
	}
	var doc struct {
		ResourceSpans []struct {
			ScopeSpans []struct {
				Spans []struct {
					Name       string
					Attributes []struct {
						Key   string
						Value anyValue
					}
				}
			}
		}
	}
	calls := 0
	for _, line := range bytes.Split(bytes.TrimSpace(data), []byte("\n")) {
		doc.ResourceSpans = nil
		if err := json.Unmarshal(line, &doc); err != nil {
			t.Fatal(err)
		}
		for _, rs := range doc.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					attrs := map[string]any{}
					for _, a := range s.Attributes {
						switch v := a.Value; {
						case v.StringValue != nil:
							attrs[a.Key] = *v.StringValue
						case v.IntValue != nil:
							n, _ := strconv.ParseInt(*v.IntValue, 10, 64)
							attrs[a.Key] = n
						case v.DoubleValue != nil:
							attrs[a.Key] = *v.DoubleValue
						}
					}
					c, ok := ReadCall(maps.All(attrs))
					if ok != (s.Name == "llm_request") {
						t.Errorf("%s: a call: %v", s.Name, ok)
					}
					if !ok {
						continue
					}
					calls++
					l := c.Latency
					if c.Dialect != DialectVLLM || !c.Usage.Input.Set || !l.Total.Set || !l.Queue.Set ||
						l.FirstToken.Value > l.Total.Value {
						t.Errorf("call %+v", c)
					}
				}
			}
		}
	}
	if calls != 13 {
		t.Errorf("%d calls, want 13", calls)
	}
}

func TestAPIs(t *testing.T) {
	for _, c := range []struct {
		method, path string
		want         API
	}{
		{"POST", "/v1/chat/completions", APIChat}, {"POST", "/openai/deployments/x/chat/completions", APIChat},
		{"POST", "/v1/completions", APICompletions},
		{"POST", "/v1/completions/", APICompletions}, {"POST", "/completion", APILlamaCompletion},
		{"POST", "/v1/embeddings", APIEmbeddings},
		{"POST", "/v1/responses", APIResponses}, {"POST", "/v1/messages", APIMessages},
		{"POST", "/v1/messages/count_tokens", APIUnknown},
		{"POST", "/api/chat", APIOllamaChat}, {"POST", "/api/generate", APIOllamaGenerate},
		{"POST", "/api/embed", APIOllamaEmbed},
		{"POST", "/api/embeddings", APIOllamaEmbed}, {"GET", "/v1/responses", APIUnknown},
		{"GET", "/v1/models", APIUnknown}, {"POST", "", APIUnknown},
		{http.MethodPost, "/v1/conversations/c/messages/x", APIUnknown},
	} {
		if got := DetectAPI(c.method, c.path); got != c.want {
			t.Errorf("%s %s: %v, want %v", c.method, c.path, got, c.want)
		}
	}
	if s := API(99).String() + API(99).Operation() + Dialect(99).String() + DialectVLLM.String(); s != "unknownunknownvllm" {
		t.Error(s)
	}
}
