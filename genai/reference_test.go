package genai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// object is a JSON object as encoding/json reads it.
type object = map[string]any

// slowEvent says what an event means, by the definitions of the package comment and with no regard for speed.
func slowEvent(data []byte) string {
	var e object
	if !json.Valid(data) || json.Unmarshal(data, &e) != nil && !numbersOnly(data, &e) || e == nil {
		return "unparsed"
	}
	token, visible := slowToken(e)
	in, out := slowUsage(e)
	failed := slowFailed(e)
	return fmt.Sprintln(token, visible, failed, in, out, slowReasons(e))
}

// numbersOnly reads what encoding/json refuses for the size of its numbers alone.
func numbersOnly(data []byte, e *object) bool {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(e) == nil
}

// filled tells whether v is a string that is not empty; there, whether it is one at all.
func filled(v any) bool { s, ok := v.(string); return ok && s != "" }
func there(v any) bool  { _, ok := v.(string); return ok }

func sub(v any, path ...string) any {
	for _, p := range path {
		o, _ := v.(object)
		v = o[p]
	}
	return v
}

func slowToken(e object) (token, visible bool) {
	list, _ := e["choices"].([]any)
	for _, c := range list {
		t, v := slowChoice(c)
		token, visible = token || t, visible || v
	}
	if token {
		return token, visible
	}
	kind, _ := e["type"].(string)
	delta := e["delta"]
	switch {
	case kind == "content_block_delta" && there(delta): // a string where an object belongs
		return true, filled(delta)
	case kind == "content_block_delta":
		return there(sub(delta, "text")) || there(sub(delta, "thinking")) || filled(sub(delta, "partial_json")),
			filled(sub(delta, "text"))
	case kind != "" && !(strings.HasPrefix(kind, "response.") && strings.HasSuffix(kind, ".delta")):
		return false, false
	case kind != "":
		if o, ok := delta.(object); ok {
			delta = o["text"]
		}
		shown := kind == "response.output_text.delta" || kind == "response.refusal.delta"
		thought := kind == "response.reasoning_text.delta" || kind == "response.reasoning_summary_text.delta"
		return filled(delta) || (shown || thought) && there(delta), shown && filled(delta)
	}
	m, _ := e["message"].(object)
	if filled(e["response"]) || filled(e["content"]) || filled(m["content"]) {
		return true, true
	}
	ids, _ := e["tokens"].([]any)
	calls, _ := m["tool_calls"].([]any)
	return filled(m["thinking"]) || len(ids) > 0 || len(calls) > 0, false
}

func slowChoice(c any) (token, visible bool) {
	d, _ := sub(c, "delta").(object)
	texts := []any{sub(c, "text"), d["content"], d["refusal"]}
	thoughts := []any{d["reasoning"], d["reasoning_content"]}
	args := []any{sub(d, "function_call", "arguments")}
	calls, _ := d["tool_calls"].([]any)
	for _, call := range calls {
		args = append(args, sub(call, "function", "arguments"))
	}
	ids, _ := sub(c, "token_ids").([]any)
	if slices.ContainsFunc(texts, filled) {
		return true, true
	}
	if slices.ContainsFunc(thoughts, filled) || slices.ContainsFunc(args, filled) || len(ids) > 0 {
		return true, false
	}
	_, called := d["function_call"]
	if there(d["role"]) || called || len(calls) > 0 {
		return false, false
	}
	o, _ := c.(object)
	_, vllm1 := o["token_ids"]
	_, vllm2 := o["stop_reason"]
	empty := slices.ContainsFunc(texts, there) || slices.ContainsFunc(thoughts, there)
	return empty && (!filled(o["finish_reason"]) || vllm1 || vllm2), false
}

func slowFailed(e object) bool {
	kind, _ := e["type"].(string)
	if e["object"] == "error" || kind == "error" || kind == "response.failed" || e["object"] == "response" &&
		slowStatus(e) == "failed" {
		return true
	}
	return fails(e["error"]) || fails(sub(e["response"], "error"))
}

func fails(v any) bool { return v != nil && v != false }

// slowStatus prefers none of the two places, since no event has both.
func slowStatus(e object) string {
	if s, ok := sub(e["response"], "status").(string); ok {
		return s
	}
	s, _ := e["status"].(string)
	return s
}

func slowReasons(e object) string {
	reasons := map[int64]string{}
	add := func(choice int64, v any) {
		s, _ := v.(string)
		if s = word([]byte(s)); s != "" && reasons[choice] == "" && choice < maxChoices {
			reasons[choice] = s
		}
	}
	list, _ := e["choices"].([]any)
	for _, c := range list {
		add(count(sub(c, "index"), 0), sub(c, "finish_reason"))
	}
	if s, _ := e["stop_type"].(string); s != "none" {
		add(0, s)
	}
	for _, v := range []any{e["stop_reason"], e["done_reason"], sub(e["delta"], "stop_reason")} {
		add(0, v)
	}
	kind, _ := e["type"].(string)
	if e["object"] == "response" || slices.Contains([]string{"response.completed", "response.incomplete",
		"response.failed"}, kind) {
		why := sub(e["response"], "incomplete_details", "reason")
		if why == nil {
			why = sub(e["incomplete_details"], "reason")
		}
		switch s := slowStatus(e); {
		case s == "in_progress" || s == "queued":
		case s == "incomplete" && filled(why):
			add(0, why)
		default:
			add(0, s)
		}
	}
	return fmt.Sprint(reasons)
}

func count(v any, def int64) int64 {
	f, ok := v.(float64)
	if n, isNumber := v.(json.Number); isNumber {
		var err error
		f, err = strconv.ParseFloat(string(n), 64)
		ok = err == nil
	}
	if !ok || f < 0 || f > 1<<53 || math.IsNaN(f) {
		return def
	}
	return int64(f)
}

// slowUsage reads the counts where only one place has them.
func slowUsage(e object) (in, out int64) {
	in, out = -1, -1
	for _, u := range []any{e, e["usage"], sub(e["message"], "usage"), sub(e["response"], "usage")} {
		keysIn, keysOut := []string{"prompt_tokens", "input_tokens"}, []string{"completion_tokens", "output_tokens"}
		if o, ok := u.(object); ok && len(o) > 0 && fmt.Sprintf("%p", o) == fmt.Sprintf("%p", e) {
			keysIn, keysOut = []string{"tokens_evaluated", "prompt_eval_count"},
				[]string{"tokens_predicted", "eval_count"}
		}
		for _, k := range keysIn {
			in = max(in, count(sub(u, k), -1))
		}
		for _, k := range keysOut {
			out = max(out, count(sub(u, k), -1))
		}
	}
	return in, out
}

// fastEvent says what the recorder makes of an event.
func fastEvent(data []byte) string {
	var e event
	if !e.parse(data) {
		return "unparsed"
	}
	e.settle()
	token, visible := e.token()
	r := &Request{rec: &Recorder{}}
	r.result.note(r, &e)
	reasons := map[int64]string{}
	for i, s := range r.result.reasons {
		if s != "" {
			reasons[int64(i)] = s
		}
	}
	return fmt.Sprintln(token, visible, e.failed, e.usage.Input.Or(-1), e.usage.Output.Or(-1), fmt.Sprint(reasons))
}

// ambiguous tells whether a text says something twice, where the order decides: servers send no such text.
func ambiguous(data []byte) bool {
	d := json.NewDecoder(bytes.NewReader(data))
	var once func() bool
	once = func() bool {
		t, err := d.Token()
		if err != nil {
			return err == io.EOF
		}
		switch t {
		case json.Delim('['):
			for d.More() {
				if !once() {
					return false
				}
			}
			_, err = d.Token()
		case json.Delim('{'):
			seen := map[json.Token]bool{}
			for d.More() {
				k, err := d.Token()
				if err != nil || seen[k] || !once() {
					return false
				}
				seen[k] = true
			}
			_, err = d.Token()
		}
		return err == nil
	}
	d.UseNumber()
	if !once() {
		return true
	}
	var e object
	if json.Unmarshal(data, &e) != nil {
		return false
	}
	twice := func(places ...any) bool {
		n := 0
		for _, p := range places {
			if p != nil {
				n++
			}
		}
		return n > 1
	}
	m := e["message"]
	return twice(e["usage"], sub(m, "usage"), sub(e["response"], "usage"), e["tokens_evaluated"],
		e["prompt_eval_count"], e["tokens_predicted"], e["eval_count"]) ||
		twice(sub(e["usage"], "prompt_tokens"), sub(e["usage"], "input_tokens")) ||
		twice(sub(e["usage"], "completion_tokens"), sub(e["usage"], "output_tokens")) ||
		twice(sub(m, "usage", "prompt_tokens"), sub(m, "usage", "input_tokens")) ||
		twice(sub(m, "usage", "completion_tokens"), sub(m, "usage", "output_tokens")) ||
		twice(sub(e["response"], "usage", "prompt_tokens"), sub(e["response"], "usage", "input_tokens")) ||
		twice(sub(e["response"], "usage", "completion_tokens"), sub(e["response"], "usage", "output_tokens")) ||
		twice(e["content"], sub(m, "content")) || twice(e["status"], sub(e["response"], "status")) ||
		twice(e["stop_type"], e["stop_reason"], e["done_reason"], sub(e["delta"], "stop_reason"), e["choices"],
			sub(e["response"], "status"), e["status"]) ||
		twice(e["incomplete_details"], sub(e["response"], "incomplete_details"))
}

func checkEvent(t *testing.T, data []byte) {
	t.Helper()
	if ambiguous(data) {
		return
	}
	if fast, slow := fastEvent(data), slowEvent(data); fast != slow {
		t.Fatalf("%s\nmeans %sto the recorder, but %s", data, fast, slow)
	}
}

func eventTexts(t testing.TB) (l [][]byte) {
	seen := map[string]bool{}
	var bodies [][]byte
	for _, c := range captures {
		bodies = append(bodies, capture(t, c.file).body)
	}
	for _, h := range handmade {
		bodies = append(bodies, h.x.body)
	}
	bodies = append(bodies, []byte(ollamaChat))
	for _, b := range bodies {
		for line := range bytes.Lines(b) {
			text := bytes.TrimSpace(bytes.TrimPrefix(line, []byte("data: ")))
			if len(text) > 0 && !seen[string(text)] {
				seen[string(text)] = true
				l = append(l, text)
			}
		}
	}
	return l
}

func TestEventsAgainstReference(t *testing.T) {
	for _, text := range eventTexts(t) {
		checkEvent(t, text)
	}
}

func FuzzEvent(f *testing.F) {
	for _, text := range eventTexts(f) {
		f.Add(text)
	}
	f.Fuzz(checkEvent)
}
