package genai

import (
	"bytes"
	"unicode/utf8"
)

// token tells whether the event carries a generated token, and whether it can be seen as text.
func (e *event) token() (token, visible bool) {
	if e.choices.any {
		return true, e.choices.visible
	}
	if len(e.kind) > 0 {
		return e.typedToken()
	}
	switch {
	case e.content == textSome, e.response == textSome:
		return true, true
	case e.thinking == textSome, e.toolCalls, e.tokens == textSome:
		return true, false
	}
	return false, false
}

// typedToken is token for the events of Responses and Messages.
func (e *event) typedToken() (token, visible bool) {
	name, isDelta := bytes.CutSuffix(e.kind, []byte(".delta"))
	switch d := e.delta; {
	case string(e.kind) == "content_block_delta":
		return d.text != textNone || d.thinking != textNone || d.args == textSome, d.text == textSome
	case !isDelta:
		return false, false
	case string(name) == "response.output_text", string(name) == "response.refusal":
		return d.text != textNone, d.text == textSome
	case string(name) == "response.reasoning_text", string(name) == "response.reasoning_summary_text":
		return d.text != textNone, false
	case bytes.HasPrefix(name, []byte("response.")):
		return d.text == textSome, false // arguments and inputs of tools
	}
	return false, false
}

// last tells whether the event is the one that closes a stream.
func (e *event) last() bool {
	switch string(e.kind) {
	case "message_stop", "response.completed", "response.incomplete", "response.failed":
		return true
	}
	return e.stop || e.done
}

// settle draws what is spread over several fields together, once all are known.
func (e *event) settle() {
	switch {
	case string(e.object) == "error":
		e.failed = true
		e.errorKind = e.kind
	case string(e.kind) == "error":
		e.failed = true
	case string(e.kind) == "response.failed", string(e.object) == "response" && string(e.status) == "failed":
		e.failed = true
	}
	if string(e.object) != "response" && (!bytes.HasPrefix(e.kind, []byte("response.")) || !e.last()) {
		return
	}
	switch string(e.status) {
	case "", "in_progress", "queued":
	case "incomplete":
		if len(e.incomplete) > 0 {
			e.reason(0, e.incomplete)
			return
		}
		fallthrough
	default:
		e.reason(0, e.status)
	}
}

// errorWord returns the type of the error that the event tells, the code if that is a word: "" when neither is.
func (e *event) errorWord() string {
	if w := word(e.errorCode); w != "" {
		return w
	}
	return word(e.errorKind)
}

// maxWord bounds names that a server chooses from a small set, such as finish reasons.
const maxWord = 64

// word returns b when it is an identifier rather than a text or a number: nothing that quotes a prompt passes.
func word(b []byte) string {
	letters := false
	for _, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
			letters = true
		case '0' <= c && c <= '9', c == '_', c == '-', c == '.':
		default:
			return ""
		}
	}
	if !letters || len(b) > maxWord {
		return ""
	}
	for _, known := range [...]string{"stop", "length", "tool_calls", "end_turn", "max_tokens", "tool_use", "completed"} {
		if string(b) == known {
			return known // spares the allocation
		}
	}
	return string(b)
}

// maxName bounds ids and names of models, in bytes.
const maxName = 256

// name returns b as a valid string of bounded length.
func name(b []byte) string {
	if len(b) > maxName {
		b = b[:maxName]
	}
	if utf8.Valid(b) {
		return string(b)
	}
	return string(bytes.ToValidUTF8(b, []byte("\uFFFD")))
}
