package genai

// choice is one of an event's "choices", of OpenAI's chat and completions.
type choice struct {
	index     int64
	reason    []byte
	role      bool
	tools     bool // tool_calls or function_call is there
	text      text // content, text, refusal
	reasoning text
	args      text // of a tool call
	ids       text // token_ids, vLLM's with return_token_ids
	vllm      bool // has a key that only vLLM's choices have
}

func (e *event) choiceList(c *cursor) {
	if !c.array() {
		return
	}
	for c.element() {
		var ch choice
		ch.read(c)
		e.reason(ch.index, ch.reason)
		token, visible := ch.token()
		e.choices.any = e.choices.any || token
		e.choices.visible = e.choices.visible || visible
	}
}

func (ch *choice) read(c *cursor) {
	if !c.object() {
		return
	}
	for key, ok := c.key(); ok; key, ok = c.key() {
		switch string(key) {
		case "index":
			ch.index, _ = c.integer()
		case "finish_reason":
			ch.reason = c.str()
		case "stop_reason":
			ch.vllm = true
			c.skip()
		case "token_ids":
			ch.vllm = true
			ch.ids = listText(c)
		case "text":
			more(&ch.text, c.text())
		case "delta":
			ch.delta(c)
		default:
			c.skip()
		}
	}
}

func (ch *choice) delta(c *cursor) {
	if !c.object() {
		return
	}
	for key, ok := c.key(); ok; key, ok = c.key() {
		switch string(key) {
		case "role":
			ch.role = c.text() != textNone
		case "content", "refusal":
			more(&ch.text, c.text())
		case "reasoning", "reasoning_content":
			more(&ch.reasoning, c.text())
		case "function_call":
			ch.tools = true
			ch.function(c)
		case "tool_calls":
			if !c.array() {
				continue
			}
			for c.element() {
				ch.tools = true
				ch.toolCall(c)
			}
		default:
			c.skip()
		}
	}
}

func (ch *choice) toolCall(c *cursor) {
	if !c.object() {
		return
	}
	for key, ok := c.key(); ok; key, ok = c.key() {
		if string(key) == "function" {
			ch.function(c)
		} else {
			c.skip()
		}
	}
}

func (ch *choice) function(c *cursor) {
	if !c.object() {
		return
	}
	for key, ok := c.key(); ok; key, ok = c.key() {
		if string(key) == "arguments" {
			more(&ch.args, c.text())
		} else {
			c.skip()
		}
	}
}

// token tells whether the choice carries a generated token, and whether it can be seen. The package comment has the rule.
func (ch *choice) token() (token, visible bool) {
	switch {
	case ch.text == textSome:
		return true, true
	case ch.reasoning == textSome, ch.args == textSome, ch.ids == textSome:
		return true, false
	case ch.text == textNone && ch.reasoning == textNone, ch.role, ch.tools:
		return false, false
	}
	return len(ch.reason) == 0 || ch.vllm, false
}

// more keeps the fuller of two texts.
func more(to *text, t text) { *to = max(*to, t) }
