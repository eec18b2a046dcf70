package forkspantest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// The identity that the steps below put into their events.
const (
	// ModelName is the model of the steps and of the default answers.
	ModelName = "fake-model"
	// ResponseID is the id of the steps and of the default answers.
	ResponseID = "chatcmpl-fake"
)

// Role is the first event of an OpenAI chat stream as vLLM sends it: the role, and no token.
func Role() Step { return delta(`{"role":"assistant","content":""}`) }

// Token is an event with one piece of visible text.
func Token(text string) Step { return delta(fmt.Sprintf(`{"content":%s}`, quoted(text))) }

// Reasoning is an event with one piece of reasoning, under the name that current vLLM gives it.
func Reasoning(text string) Step { return delta(fmt.Sprintf(`{"reasoning":%s}`, quoted(text))) }

// ReasoningContent is [Reasoning] under the older name, that of DeepSeek and of older vLLM.
func ReasoningContent(text string) Step {
	return delta(fmt.Sprintf(`{"reasoning_content":%s}`, quoted(text)))
}

// ToolCall is an event that begins a call of the named tool.
func ToolCall(name string) Step {
	return delta(fmt.Sprintf(
		`{"tool_calls":[{"index":0,"id":"call-1","type":"function","function":{"name":%s,"arguments":""}}]}`, quoted(name)))
}

// ToolArguments is an event with a piece of the arguments of the call that [ToolCall] began.
func ToolArguments(piece string) Step {
	return delta(fmt.Sprintf(`{"tool_calls":[{"index":0,"function":{"arguments":%s}}]}`, quoted(piece)))
}

// Finish is the event with the reason why the generation ended.
func Finish(reason string) Step { return choice(`{}`, quoted(reason)) }

// Usage is the event after the finish that a client gets that asks for usage.
func Usage(input, output int) Step {
	return Event(fmt.Sprintf(`{"id":%q,"object":"chat.completion.chunk","created":1,"model":%q,"choices":[],"usage":%s}`,
		ResponseID, ModelName, usage(input, output)))
}

// Done is the marker at the end of an OpenAI stream.
func Done() Step { return Event("[DONE]") }

// ChatStream is a chat stream of these tokens, with everything that vLLM sends around them, and without usage.
func ChatStream(tokens ...string) Reply {
	steps := []Step{Role()}
	for _, t := range tokens {
		steps = append(steps, Token(t))
	}
	return Reply{Steps: append(steps, Finish("stop"), Done())}
}

// Chat is an answer in one piece to a chat request.
func Chat(tokens ...string) Reply {
	return Reply{Steps: []Step{Send(fmt.Sprintf(`{"id":%q,"object":"chat.completion","created":1,"model":%q,"choices":[`+
		`{"index":0,"message":{"role":"assistant","content":%s},"finish_reason":"stop"}],"usage":%s}`,
		ResponseID, ModelName, quoted(strings.Join(tokens, "")), usage(defaultInput, len(tokens))))}}
}

// defaultInput is the number of prompt tokens that answers report.
const defaultInput = 7

func delta(d string) Step { return choice(d, "null") }

func choice(delta, finish string) Step {
	return Event(fmt.Sprintf(`{"id":%q,"object":"chat.completion.chunk","created":1,"model":%q,`+
		`"choices":[{"index":0,"delta":%s,"finish_reason":%s}]}`, ResponseID, ModelName, delta, finish))
}

func usage(input, output int) string {
	return fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}`, input, output, input+output)
}

func quoted(s string) string {
	b, _ := json.Marshal(s) // a string always has a JSON form
	return string(b)
}

// asked is what the server needs to know of a request's body.
type asked struct {
	Stream  bool `json:"stream"`
	Options *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

func readAsked(body []byte) asked {
	var a asked
	_ = json.Unmarshal(body, &a) // what is not JSON asks for nothing
	return a
}

var defaultTokens = []string{"Hello", ", ", "world", "!"}

func defaultReply(r *http.Request, a asked) Reply {
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/chat/completions":
		if !a.Stream {
			return Chat(defaultTokens...)
		}
		reply := ChatStream(defaultTokens...)
		if a.Options != nil && a.Options.IncludeUsage {
			last := len(reply.Steps) - 1
			reply.Steps = append(reply.Steps[:last:last], Usage(defaultInput, len(defaultTokens)), Done())
		}
		return reply
	case "POST /v1/completions":
		return defaultCompletion(a)
	case "GET /health":
		return Reply{}
	case "GET /v1/models":
		return Reply{Steps: []Step{Send(fmt.Sprintf(`{"object":"list","data":[{"id":%q,"object":"model"}]}`, ModelName))}}
	}
	return ErrorReply(http.StatusNotFound, "Not Found")
}

func defaultCompletion(a asked) Reply {
	const form = `{"id":%q,"object":"text_completion","created":1,"model":%q,"choices":[%s]%s}`
	choice := func(text, finish string) string {
		return fmt.Sprintf(`{"index":0,"text":%s,"finish_reason":%s}`, quoted(text), finish)
	}
	counts := `,"usage":` + usage(defaultInput, len(defaultTokens))
	if !a.Stream {
		text := strings.Join(defaultTokens, "")
		return Reply{Steps: []Step{Send(fmt.Sprintf(form, ResponseID, ModelName, choice(text, `"stop"`), counts))}}
	}
	var steps []Step
	for i, t := range defaultTokens {
		finish := "null"
		if i == len(defaultTokens)-1 {
			finish = `"stop"`
		}
		steps = append(steps, Event(fmt.Sprintf(form, ResponseID, ModelName, choice(t, finish), "")))
	}
	if a.Options != nil && a.Options.IncludeUsage {
		steps = append(steps, Event(fmt.Sprintf(form, ResponseID, ModelName, "", counts)))
	}
	return Reply{Steps: append(steps, Done())}
}
