package genai

import (
	"path/filepath"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/codes"
)

// What the captured answers say, read off the files by eye. Marks are the indices of events, -1 for none.
var captures = []struct {
	file               string
	first, text, last  int
	gaps               int
	id, model          string
	reasons            []string
	in, out, cached    int64 // -1: not told
	reasoning          int64
	errorType, provide string
}{
	{"vllm-http/chat-n2-stream", 2, 2, 13, 11,
		"chatcmpl-chat-n2-stream", "./tiny", []string{"length", "length"}, -1, -1, -1, -1, "", "vllm"},
	{"vllm-http/chat-stream", 1, 1, 12, 11,
		"chatcmpl-chat-stream", "./tiny", []string{"length"}, -1, -1, -1, -1, "", "vllm"},
	{"vllm-http/chat-stream-usage", 1, 3, 12, 11,
		"chatcmpl-chat-stream-usage", "./tiny", []string{"length"}, 23, 12, -1, -1, "", "vllm"},
	{"vllm-http/chat-stream-reasoning", 1, -1, 12, 11,
		"chatcmpl-chat-stream-reasoning", "./tinyr", []string{"length"}, 23, 12, -1, 0, "", "vllm"},
	{"vllm-http/chat-stream-tool", 2, -1, 33, 31,
		"chatcmpl-chat-stream-tool", "./tiny", []string{"length"}, 23, 80, -1, -1, "", "vllm"},
	{"vllm-http/chat-stream-tool-required", 2, -1, 5, 3,
		"chatcmpl-chat-stream-tool-required", "./tiny", []string{"tool_calls"}, -1, -1, -1, -1, "", "vllm"},
	{"vllm-http/chat-stream-length-error", -1, -1, -1, 0,
		"", "", nil, -1, -1, -1, -1, "BadRequestError", "openai"},
	{"vllm-http/chat", -1, -1, -1, 0,
		"chatcmpl-chat", "./tiny", []string{"length"}, 23, 12, -1, -1, "", "vllm"},
	{"vllm-http/chat-tool", -1, -1, -1, 0,
		"chatcmpl-chat-tool", "./tiny", []string{"stop"}, 23, 68, -1, -1, "", "vllm"},
	{"vllm-http/chat-reasoning", -1, -1, -1, 0,
		"chatcmpl-chat-reasoning", "./tinyr", []string{"length"}, 23, 12, -1, 0, "", "vllm"},
	{"vllm-http/completions-2prompts", -1, -1, -1, 0,
		"cmpl-completions-2prompts", "./tiny", []string{"length", "stop"}, 10, 10, -1, -1, "", "vllm"},
	{"vllm-http/completions-stream", 0, -1, 7, 7,
		"cmpl-completions-stream", "./tiny", []string{"length"}, -1, -1, -1, -1, "", "vllm"},
	{"vllm-http/error-400", -1, -1, -1, 0,
		"", "", nil, -1, -1, -1, -1, "NotFoundError", "openai"},
	{"vllm-http/error-badjson", -1, -1, -1, 0,
		"", "", nil, -1, -1, -1, -1, "400", "openai"},
	{"vllm-http/messages", -1, -1, -1, 0,
		"chatcmpl-messages", "./tiny", []string{"max_tokens"}, 23, 8, -1, -1, "", "anthropic"},
	{"vllm-http/messages-stream", 2, 2, 2, 0,
		"chatcmpl-messages-stream", "./tiny", []string{"max_tokens"}, 23, 8, -1, -1, "", "anthropic"},
	{"vllm-http/messages-stream-reasoning", 2, -1, 10, 8,
		"chatcmpl-messages-stream-reasoning", "./tinyr", []string{"max_tokens"}, 23, 12, -1, -1, "", "anthropic"},
	{"vllm-http/responses", -1, -1, -1, 0,
		"resp_ba8cb770f78e057d", "./tiny", []string{"max_output_tokens"}, 23, 8, 0, 0, "", "vllm"},
	{"vllm-http/responses-stream", 4, 4, 5, 1,
		"resp_b423f0a300c27c1b", "./tiny", []string{"max_output_tokens"}, 23, 8, 0, 0, "", "vllm"},
	{"vllm-http/responses-stream-reasoning", 4, -1, 5, 1,
		"resp_9e5afbcbd28f71fd", "./tinyr", []string{"max_output_tokens"}, 23, 12, 0, 0, "", "vllm"},
	{"llamacpp-http/chat", -1, -1, -1, 0,
		"chatcmpl-PQ3MEKOD7cl3SzjM9s6sxBB9Fj2CCPIT", "tiny.gguf", []string{"length"}, 21, 8, 0, -1, "", "llama.cpp"},
	{"llamacpp-http/chat-stream", 0, 0, 5, 5,
		"chatcmpl-1eFSubeN9lALewwJoboI2XDrhnzx19Lg", "tiny.gguf", []string{"length"}, 21, 8, 20, -1, "", "llama.cpp"},
	{"llamacpp-http/chat-stream-usage", 0, 0, 5, 5,
		"chatcmpl-BPZ7DRy8Ye8skeEXFat2OOTNtnUnkeFp", "tiny.gguf", []string{"length"}, 21, 8, 20, -1, "", "llama.cpp"},
	{"llamacpp-http/completion-native", -1, -1, -1, 0,
		"", "tiny.gguf", []string{"limit"}, 3, 8, 2, -1, "", "llama.cpp"},
	{"llamacpp-http/completion-native-stream", 0, 0, 4, 4,
		"", "tiny.gguf", []string{"limit"}, 3, 8, 2, -1, "", "llama.cpp"},
	{"llamacpp-http/completions-stream", 0, 0, 6, 6,
		"chatcmpl-Df8yGGvi6enyIbdURl5j3GTTZGzsjTKB", "tiny.gguf", []string{"length"}, 3, 8, 0, -1, "", "llama.cpp"},
	{"llamacpp-http/error", -1, -1, -1, 0,
		"", "", nil, -1, -1, -1, -1, "invalid_request_error", "llama.cpp"},
	{"llamacpp-http/messages-stream", 1, 1, 4, 3,
		"", "", []string{"max_tokens"}, -1, 8, -1, -1, "", "llama.cpp"},
	{"llamacpp-http/responses-stream", 4, 4, 11, 7,
		"resp_SrDy4JnJzmjaIPaElbumwGK8JUulxkLU", "tiny.gguf", []string{"completed"}, 21, 8, 20, -1, "", "llama.cpp"},
}

func TestCaptures(t *testing.T) {
	for _, want := range captures {
		t.Run(want.file, func(t *testing.T) {
			rec := newRecording(t)
			x := capture(t, want.file)
			r := rec.play(x, events(x.body), nil)
			m, c := r.Marks(), r.Call()
			if f, v, l := index(m.FirstToken), index(m.FirstText), index(m.LastToken); f != want.first ||
				v != want.text || l != want.last {
				t.Errorf("first token, first text, last token at events %d, %d, %d, want %d, %d, %d", f, v, l,
					want.first, want.text, want.last)
			}
			if wantFirst := want.first >= 0; wantFirst != (index(m.FirstEvent) == 0) ||
				wantFirst == m.FirstEvent.IsZero() {
				t.Errorf("first event %v", m.FirstEvent)
			}
			if m.Gaps.Len() != want.gaps {
				t.Errorf("%d gaps, want %d", m.Gaps.Len(), want.gaps)
			}
			if c.ResponseID != want.id || c.ResponseModel != want.model || c.Provider != want.provide ||
				c.ErrorType != want.errorType {
				t.Errorf("id %q, model %q, provider %q, error %q", c.ResponseID, c.ResponseModel, c.Provider, c.ErrorType)
			}
			if !slices.Equal(c.FinishReasons, want.reasons) {
				t.Errorf("finish reasons %q, want %q", c.FinishReasons, want.reasons)
			}
			u := c.Usage
			if u.Input.Or(-1) != want.in || u.Output.Or(-1) != want.out || u.CacheRead.Or(-1) != want.cached ||
				u.Reasoning.Or(-1) != want.reasoning {
				t.Errorf("usage %+v", u)
			}
			if c.Unparsed != 0 {
				t.Errorf("%d events unparsed", c.Unparsed)
			}
			if failed := rec.span(t).Status.Code == codes.Error; failed != (want.errorType != "") {
				t.Errorf("span failed: %v", failed)
			}
		})
	}
}

func TestEveryCaptureIsInTheTable(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.response.http")
	if err != nil || len(files) != len(captures) {
		t.Errorf("%d captures, %d rows (%v)", len(files), len(captures), err)
	}
}
