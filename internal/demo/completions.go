package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// completionsPath is what the server answers.
const completionsPath = "/v1/chat/completions"

// modelName is the made-up model.
const modelName = "demo-7b"

// The objects of OpenAI's chat completions, as far as an answer needs them.
type (
	completion struct {
		ID      string   `json:"id"`
		Object  string   `json:"object"`
		Created int64    `json:"created"`
		Model   string   `json:"model"`
		Choices []choice `json:"choices"`
		Usage   *usage   `json:"usage,omitempty"`
	}
	choice struct {
		Index        int     `json:"index"`
		Message      *text   `json:"message,omitempty"`
		Delta        *text   `json:"delta,omitempty"`
		FinishReason *string `json:"finish_reason"`
	}
	text struct {
		Role    string `json:"role,omitempty"`
		Content string `json:"content"`
	}
	usage struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
		Total      int `json:"total_tokens"`
	}
)

// ServeHTTP answers a chat completion. It makes no span of its own, as vLLM: the engine records the request below the span that
// the headers name.
func (f *frontEnd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Stream bool `json:"stream"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.URL.Path != completionsPath {
		http.Error(w, "no chat completion", http.StatusBadRequest)
		return
	}
	headers := map[string]string{}
	for _, name := range []string{"traceparent", "tracestate"} {
		if value := r.Header.Get(name); value != "" {
			headers[name] = value
		}
	}
	id, answer, err := f.generate(headers)
	if err != nil {
		http.Error(w, "the engine is gone", http.StatusServiceUnavailable)
		return
	}
	c := completion{ID: completionID(id), Created: time.Now().Unix(), Model: modelName}
	if body.Stream {
		c.stream(w, answer)
	} else {
		c.whole(w, answer)
	}
}

func completionID(id int) string { return fmt.Sprintf("chatcmpl-%d", id) }

// promptTokens is what every prompt is said to have.
const promptTokens = 17

var finishReason = "length"

// stream answers with an event for each token.
func (c *completion) stream(w http.ResponseWriter, answer <-chan message) {
	w.Header().Set("Content-Type", "text/event-stream")
	c.Object = "chat.completion.chunk"
	event := func(choices ...choice) {
		c.Choices = append([]choice{}, choices...) // never null
		data, _ := json.Marshal(c)
		fmt.Fprintf(w, "data: %s\n\n", data)
		_ = http.NewResponseController(w).Flush()
	}
	event(choice{Delta: &text{Role: "assistant"}})
	for m := range answer {
		if m.Op == "token" {
			event(choice{Delta: &text{Content: m.Text}})
			continue
		}
		event(choice{Delta: &text{}, FinishReason: &finishReason})
		c.Usage = &usage{promptTokens, m.Tokens, promptTokens + m.Tokens}
		event()
		fmt.Fprint(w, "data: [DONE]\n\n")
		return
	}
	panic(http.ErrAbortHandler) // the engine is gone
}

// whole answers in one piece.
func (c *completion) whole(w http.ResponseWriter, answer <-chan message) {
	var content strings.Builder
	for m := range answer {
		if m.Op == "token" {
			content.WriteString(m.Text)
			continue
		}
		c.Object = "chat.completion"
		c.Choices = []choice{{Message: &text{Role: "assistant", Content: content.String()}, FinishReason: &finishReason}}
		c.Usage = &usage{promptTokens, m.Tokens, promptTokens + m.Tokens}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(c)
		return
	}
	http.Error(w, "the engine is gone", http.StatusServiceUnavailable)
}
