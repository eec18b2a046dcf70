package genai

import (
	"slices"
	"strings"
	"testing"
)

const chatPath = "/v1/chat/completions"

// sse writes each text as the data of an event.
func sseBody(data ...string) string {
	var b strings.Builder
	for _, d := range data {
		b.WriteString("data: " + d + "\n\n")
	}
	return b.String()
}

func chatDelta(choice, delta, finish string) string {
	return `{"id":"c1","model":"m","choices":[{"index":` + choice + `,"delta":` + delta + `,"finish_reason":` + finish + `}]}`
}

// Streams made by hand, for what no captured server does. Marks are the indices of events, -1 for none.
var handmade = []struct {
	name              string
	x                 exchange
	first, text, last int
	gaps              int
	reasons           []string
	in, out           int64
	errorType         string
	unparsed          int64
}{
	{name: "role only first", x: stream(chatPath, `{"stream":true}`, sseBody(
		chatDelta("0", `{"role":"assistant","content":""}`, "null"),
		chatDelta("0", `{"content":"Hi"}`, "null"),
		chatDelta("0", `{}`, `"stop"`), "[DONE]")),
		first: 1, text: 1, last: 1, reasons: []string{"stop"}, in: -1, out: -1},
	{name: "role only, content null", x: stream(chatPath, `{}`, sseBody(
		chatDelta("0", `{"role":"assistant","content":null}`, "null"),
		chatDelta("0", `{"reasoning_content":"Hm"}`, "null"),
		chatDelta("0", `{"content":null,"reasoning_content":""}`, "null"),
		chatDelta("0", `{"content":"Hi"}`, "null"),
		chatDelta("0", `{"content":""}`, `"stop"`), "[DONE]")),
		first: 1, text: 3, last: 3, gaps: 2, reasons: []string{"stop"}, in: -1, out: -1},
	{name: "reasoning", x: stream(chatPath, `{}`, sseBody(
		chatDelta("0", `{"role":"assistant","reasoning":"Hm"}`, "null"), chatDelta("0", `{"content":"Hi"}`, `"stop"`))),
		first: 0, text: 1, last: 1, gaps: 1, reasons: []string{"stop"}, in: -1, out: -1},
	{name: "role in every chunk", x: stream(chatPath, `{}`, sseBody(
		chatDelta("0", `{"role":"assistant","content":""}`, "null"),
		chatDelta("0", `{"role":"assistant","content":""}`, "null"),
		chatDelta("0", `{"role":"assistant","content":"Hi"}`, "null"),
		chatDelta("0", `{"role":"assistant","content":""}`, `"stop"`))),
		first: 2, text: 2, last: 2, reasons: []string{"stop"}, in: -1, out: -1},
	{name: "token ids without text", x: stream(chatPath, `{}`, sseBody(
		`{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"token_ids":[7]}]}`,
		`{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop","stop_reason":null}]}`)),
		first: 0, text: -1, last: 1, gaps: 1, reasons: []string{"stop"}, in: -1, out: -1},
	{name: "tool call only", x: stream(chatPath, `{}`, sseBody(
		chatDelta("0",
			`{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":""}}]}`, "null"),
		chatDelta("0", `{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]}`, "null"),
		chatDelta("0", `{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}`, "null"),
		chatDelta("0", `{}`, `"tool_calls"`), "[DONE]")),
		first: 1, text: -1, last: 2, gaps: 1, reasons: []string{"tool_calls"}, in: -1, out: -1},
	{name: "function call", x: stream(chatPath, `{}`, sseBody(
		chatDelta("0", `{"role":"assistant","content":null,"function_call":{"name":"f","arguments":""}}`, "null"),
		chatDelta("0", `{"function_call":{"arguments":"{}"}}`, `"function_call"`))),
		first: 1, text: -1, last: 1, reasons: []string{"function_call"}, in: -1, out: -1},
	{name: "refusal", x: stream(chatPath, `{}`, sseBody(chatDelta("0", `{"refusal":"No"}`, `"stop"`))),
		first: 0, text: 0, last: 0, reasons: []string{"stop"}, in: -1, out: -1},
	{name: "choices interleaved", x: stream(chatPath, `{"n":3}`, sseBody(
		chatDelta("2", `{"content":"a"}`, "null"), chatDelta("0", `{"content":"b"}`, `"length"`),
		chatDelta("2", `{}`, `"tool_calls"`), chatDelta("1", `{"content":"c"}`, `"stop"`))),
		first: 0, text: 0, last: 3, gaps: 2, reasons: []string{"length", "stop", "tool_calls"}, in: -1, out: -1},
	{name: "usage after the finish", x: stream(chatPath, `{}`, sseBody(
		chatDelta("0", `{"content":"a"}`, `"stop"`),
		`{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":2}}}`,
		"[DONE]")),
		first: 0, text: 0, last: 0, reasons: []string{"stop"}, in: 5, out: 1},
	{name: "usage in every chunk", x: stream(chatPath, `{}`, sseBody(
		`{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":5,"completion_tokens":1}}`,
		`{"choices":[{"delta":{"content":"b"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2}}`)),
		first: 0, text: 0, last: 1, gaps: 1, reasons: []string{"stop"}, in: 5, out: 2},
	{name: "no finish, but DONE", x: stream(chatPath, `{}`, sseBody(chatDelta("0", `{"content":"a"}`, "null"), "[DONE]")),
		first: 0, text: 0, last: 0, in: -1, out: -1},
	{name: "neither finish nor DONE", x: stream(chatPath, `{}`, sseBody(chatDelta("0", `{"content":"a"}`, "null"))),
		first: 0, text: 0, last: 0, reasons: []string{"error"}, in: -1, out: -1, errorType: ErrorTypeUpstreamCut},
	{name: "error in mid-stream", x: stream(chatPath, `{}`, sseBody(
		chatDelta("0", `{"content":"a"}`, "null"),
		`{"error":{"message":"secret","type":"InternalServerError","code":500}}`, "[DONE]")),
		first: 0, text: 0, last: 0, reasons: []string{"error"}, in: -1, out: -1, errorType: "InternalServerError"},
	{name: "error of old vLLM", x: stream(chatPath, `{}`, sseBody(
		`{"object":"error","message":"secret","type":"BadRequestError","code":400}`)),
		first: -1, text: -1, last: -1, reasons: []string{"error"}, in: -1, out: -1, errorType: "BadRequestError"},
	{name: "error without a word", x: stream(chatPath, `{}`, sseBody(`{"error":"the prompt: secret"}`)),
		first: -1, text: -1, last: -1, reasons: []string{"error"}, in: -1, out: -1, errorType: "_OTHER"},
	{name: "error field of llama.cpp", x: stream(chatPath, `{}`,
		"error: {\"code\":500,\"message\":\"secret\",\"type\":\"server_error\"}\n\n"),
		first: -1, text: -1, last: -1, reasons: []string{"error"}, in: -1, out: -1, errorType: "server_error"},
	{name: "error null", x: stream(chatPath, `{}`, sseBody(
		`{"error":null,"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}`)),
		first: 0, text: 0, last: 0, reasons: []string{"stop"}, in: -1, out: -1},
	{name: "garbage among events", x: stream(chatPath, `{}`, sseBody(
		"{", chatDelta("0", `{"content":"a"}`, "null"), "nonsense", `[1]`, chatDelta("0", `{}`, `"stop"`))),
		first: 1, text: 1, last: 1, reasons: []string{"stop"}, in: -1, out: -1, unparsed: 3},
	{name: "finish reason that is a text", x: stream(chatPath, `{}`, sseBody(
		chatDelta("0", `{"content":"a"}`, `"the user said: secret"`), "[DONE]")),
		first: 0, text: 0, last: 0, in: -1, out: -1},
	{name: "messages of Anthropic", x: stream("/v1/messages", `{"model":"m","stream":true}`, sseBody(
		`{"type":"message_start","message":{"id":"msg_1","model":"m","content":[],"usage":{"input_tokens":5,"cache_read_input_tokens":100,"cache_creation_input_tokens":20,"output_tokens":1}}}`,
		`{"type":"ping"}`,
		`{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","name":"f","input":{}}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":""}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{"}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"x"}}`,
		`{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":9}}`,
		`{"type":"message_stop"}`)),
		first: 4, text: -1, last: 4, reasons: []string{"tool_use"}, in: 125, out: 9},
	{name: "messages, cache read only", x: stream("/v1/messages", `{}`, sseBody(
		`{"type":"message_start","message":{"usage":{"input_tokens":5,"cache_read_input_tokens":100}}}`,
		`{"type":"message_stop"}`)),
		first: -1, text: -1, last: -1, in: 105, out: -1},
	{name: "messages, overloaded", x: stream("/v1/messages", `{}`, "event: error\n"+sseBody(
		`{"type":"error","error":{"type":"overloaded_error","message":"secret"}}`)),
		first: -1, text: -1, last: -1, reasons: []string{"error"}, in: -1, out: -1, errorType: "overloaded_error"},
	{name: "responses, tools and summary", x: stream("/v1/responses", `{}`, sseBody(
		`{"type":"response.created","response":{"id":"r1","status":"in_progress","model":"m","usage":null}}`,
		`{"type":"response.reasoning_summary_text.delta","delta":"So"}`,
		`{"type":"response.function_call_arguments.delta","delta":"{"}`,
		`{"type":"response.function_call_arguments.done","arguments":"{}"}`,
		`{"type":"response.completed","response":{"id":"r1","status":"completed","model":"m","usage":{"input_tokens":3,"output_tokens":4,"output_tokens_details":{"reasoning_tokens":2}}}}`)),
		first: 1, text: -1, last: 2, gaps: 1, reasons: []string{"completed"}, in: 3, out: 4},
	{name: "responses, failed", x: stream("/v1/responses", `{}`, sseBody(
		`{"type":"response.failed","response":{"id":"r1","status":"failed","error":{"code":"server_error","message":"secret"}}}`)),
		first: -1, text: -1, last: -1, reasons: []string{"failed"}, in: -1, out: -1, errorType: "server_error"},
	{name: "responses, error", x: stream("/v1/responses", `{}`, sseBody(
		`{"type":"error","code":"rate_limit_exceeded","message":"secret","param":null}`)),
		first: -1, text: -1, last: -1, reasons: []string{"error"}, in: -1, out: -1, errorType: "rate_limit_exceeded"},
}

func TestHandmadeStreams(t *testing.T) {
	for _, want := range handmade {
		t.Run(want.name, func(t *testing.T) {
			rec := newRecording(t)
			r := rec.play(want.x, events(want.x.body), nil)
			m, c := r.Marks(), r.Call()
			if f, v, l := index(m.FirstToken), index(m.FirstText), index(m.LastToken); f != want.first ||
				v != want.text || l != want.last {
				t.Errorf("first token, first text, last token at events %d, %d, %d, want %d, %d, %d", f, v, l,
					want.first, want.text, want.last)
			}
			if m.Gaps.Len() != want.gaps {
				t.Errorf("%d gaps, want %d", m.Gaps.Len(), want.gaps)
			}
			if !slices.Equal(c.FinishReasons, want.reasons) {
				t.Errorf("finish reasons %q, want %q", c.FinishReasons, want.reasons)
			}
			if c.Usage.Input.Or(-1) != want.in || c.Usage.Output.Or(-1) != want.out {
				t.Errorf("usage %+v", c.Usage)
			}
			if c.ErrorType != want.errorType || c.Unparsed != want.unparsed {
				t.Errorf("error %q, unparsed %d, want %q, %d", c.ErrorType, c.Unparsed, want.errorType, want.unparsed)
			}
			if s := rec.span(t); strings.Contains(s.Status.Description, "secret") {
				t.Errorf("status tells %q", s.Status.Description)
			}
		})
	}
}
