package genai

import "time"

// event is what one event of a stream, one line of JSON or one whole JSON answer says, of whatever API: their keys hardly
// overlap, and servers mix them. Its byte slices belong to the text it was read from. It is reused.
type event struct {
	kind        []byte // "type" of Responses and Messages
	object      []byte // "object"
	id, model   []byte
	fingerprint []byte // system_fingerprint
	status      []byte // of a Responses answer
	incomplete  []byte // why it is incomplete
	reasons     []reason
	choices     choiceTokens
	delta       delta
	content     text // llama.cpp's text, and Ollama's in its message
	thinking    text // Ollama
	response    text // Ollama's generated text
	toolCalls   bool // Ollama
	tokens      text // llama.cpp's list of token ids
	stop, done  bool // last event of llama.cpp, of Ollama
	usage       usageFields
	timings     timings
	vllm        bool // has a key that only vLLM's answers have
	failed      bool
	errorKind   []byte
	errorCode   []byte
}

// reason is the finish reason of one choice.
type reason struct {
	choice int64
	text   []byte
}

// choiceTokens tells which of an event's choices carry tokens.
type choiceTokens struct{ any, visible bool }

// delta is the "delta" of Responses (a string) and Messages (an object).
type delta struct {
	text     text // the string, or text
	thinking text
	args     text // partial_json
}

// usageFields are the token counts of an event as they were written.
type usageFields struct {
	Usage
	// apart says that cached tokens are counted apart from the input, as Anthropic does.
	apart bool
}

// timings are durations that a server reports itself.
type timings struct {
	source  string // "llama.cpp" or "ollama", "" without timings
	load    Opt[time.Duration]
	prefill Opt[time.Duration]
	decode  Opt[time.Duration]

	cached, prompt, predicted Opt[int64] // token counts of llama.cpp's timings
}

func (e *event) reset() { *e = event{reasons: e.reasons[:0]} }

// parse reads one JSON text, and reports whether it was sound and an object.
func (e *event) parse(data []byte) bool {
	e.reset()
	c := cursor{data: data}
	if c.peek() != '{' {
		return false
	}
	e.fields(&c)
	return c.done()
}

func (e *event) fields(c *cursor) {
	c.object()
	for key, ok := c.key(); ok; key, ok = c.key() {
		switch string(key) {
		case "type":
			e.kind = c.str()
		case "object":
			e.object = c.str()
		case "id":
			e.id = c.str()
		case "model":
			e.model = c.str()
		case "system_fingerprint":
			e.fingerprint = c.str()
		case "status":
			e.status = c.str()
		case "incomplete_details":
			e.incompleteFields(c)
		case "choices":
			e.choiceList(c)
		case "delta":
			e.deltaFields(c)
		case "message":
			e.messageFields(c)
		case "response":
			e.responseFields(c)
		case "stop_reason":
			e.reason(0, c.str())
		case "stop_type":
			if stop := c.str(); string(stop) != "none" {
				e.reason(0, stop)
			}
		case "done_reason":
			e.reason(0, c.str())
		case "content":
			e.content = c.text()
		case "tokens":
			e.tokens = listText(c)
		case "stop":
			e.stop, _ = c.boolean()
		case "done":
			e.done, _ = c.boolean()
		case "usage":
			e.usage.read(c)
		case "tokens_evaluated", "prompt_eval_count":
			setInt(c, &e.usage.Input)
		case "tokens_predicted", "eval_count":
			setInt(c, &e.usage.Output)
		case "timings":
			e.timings.read(c)
		case "load_duration":
			e.timings.ollama(c, &e.timings.load)
		case "prompt_eval_duration":
			e.timings.ollama(c, &e.timings.prefill)
		case "eval_duration":
			e.timings.ollama(c, &e.timings.decode)
		case "error":
			e.errorFields(c)
		case "code":
			e.errorCode = scalar(c)
		case "kv_transfer_params":
			e.vllm = true
			c.skip()
		default:
			c.skip()
		}
	}
}

// messageFields reads the "message" of Messages' message_start and of Ollama's chat.
func (e *event) messageFields(c *cursor) {
	if !c.object() {
		return
	}
	for key, ok := c.key(); ok; key, ok = c.key() {
		switch string(key) {
		case "id":
			e.id = c.str()
		case "model":
			e.model = c.str()
		case "usage":
			e.usage.read(c)
		case "content":
			e.content = c.text()
		case "thinking":
			e.thinking = c.text()
		case "tool_calls":
			e.toolCalls = listText(c) == textSome
		default:
			c.skip()
		}
	}
}

// responseFields reads the "response" of Responses (an object) and of Ollama's generate (a string).
func (e *event) responseFields(c *cursor) {
	if c.peek() != '{' {
		e.response = c.text()
		return
	}
	c.object()
	for key, ok := c.key(); ok; key, ok = c.key() {
		switch string(key) {
		case "id":
			e.id = c.str()
		case "model":
			e.model = c.str()
		case "status":
			e.status = c.str()
		case "incomplete_details":
			e.incompleteFields(c)
		case "usage":
			e.usage.read(c)
		case "error":
			e.errorFields(c)
		case "kv_transfer_params":
			e.vllm = true
			c.skip()
		default:
			c.skip()
		}
	}
}

func (e *event) incompleteFields(c *cursor) {
	if !c.object() {
		return
	}
	for key, ok := c.key(); ok; key, ok = c.key() {
		if string(key) == "reason" {
			e.incomplete = c.str()
		} else {
			c.skip()
		}
	}
}

func (e *event) deltaFields(c *cursor) {
	if c.peek() != '{' {
		e.delta.text = c.text()
		return
	}
	c.object()
	for key, ok := c.key(); ok; key, ok = c.key() {
		switch string(key) {
		case "text":
			e.delta.text = c.text()
		case "thinking":
			e.delta.thinking = c.text()
		case "partial_json":
			e.delta.args = c.text()
		case "stop_reason":
			e.reason(0, c.str())
		default:
			c.skip()
		}
	}
}

// errorFields reads "error": a text in Ollama, else an object. The text is not kept.
func (e *event) errorFields(c *cursor) {
	switch c.peek() {
	case 'n', 'f':
		c.skip()
		return
	case '{':
	default:
		e.failed = true
		c.skip()
		return
	}
	e.failed = true
	c.object()
	for key, ok := c.key(); ok; key, ok = c.key() {
		switch string(key) {
		case "type":
			e.errorKind = c.str()
		case "code":
			e.errorCode = scalar(c)
		default:
			c.skip()
		}
	}
}

func (e *event) reason(choice int64, text []byte) {
	if len(text) > 0 {
		e.reasons = append(e.reasons, reason{choice, text})
	}
}

// read takes the usage of OpenAI's and Anthropic's APIs.
func (u *usageFields) read(c *cursor) {
	if !c.object() {
		return
	}
	for key, ok := c.key(); ok; key, ok = c.key() {
		switch string(key) {
		case "prompt_tokens", "input_tokens":
			setInt(c, &u.Input)
		case "completion_tokens", "output_tokens":
			setInt(c, &u.Output)
		case "cache_read_input_tokens":
			setInt(c, &u.CacheRead)
			u.apart = u.apart || u.CacheRead.Set
		case "cache_creation_input_tokens":
			setInt(c, &u.CacheWrite)
			u.apart = u.apart || u.CacheWrite.Set
		case "prompt_tokens_details", "input_tokens_details", "completion_tokens_details", "output_tokens_details":
			u.details(c)
		default:
			c.skip()
		}
	}
}

func (u *usageFields) details(c *cursor) {
	if !c.object() {
		return
	}
	for key, ok := c.key(); ok; key, ok = c.key() {
		switch string(key) {
		case "cached_tokens":
			setInt(c, &u.CacheRead)
		case "cache_write_tokens":
			setInt(c, &u.CacheWrite)
		case "reasoning_tokens":
			setInt(c, &u.Reasoning)
		default:
			c.skip()
		}
	}
}

// merge takes over what later says.
func (u *usageFields) merge(later usageFields) {
	for _, f := range [...]struct{ to, from *Opt[int64] }{
		{&u.Input, &later.Input}, {&u.Output, &later.Output}, {&u.CacheRead, &later.CacheRead},
		{&u.CacheWrite, &later.CacheWrite}, {&u.Reasoning, &later.Reasoning},
	} {
		if f.from.Set {
			*f.to = *f.from
		}
	}
	u.apart = u.apart || later.apart
}

// total returns the counts as the conventions define them: the input includes what is cached.
func (u usageFields) total() Usage {
	if u.apart && u.Input.Set {
		u.Input.Value += u.CacheRead.Or(0) + u.CacheWrite.Or(0)
	}
	return u.Usage
}

// read takes llama.cpp's timings: milliseconds.
func (t *timings) read(c *cursor) {
	if !c.object() {
		return
	}
	t.source = "llama.cpp"
	for key, ok := c.key(); ok; key, ok = c.key() {
		switch string(key) {
		case "prompt_ms":
			setDuration(c, &t.prefill, time.Millisecond)
		case "predicted_ms":
			setDuration(c, &t.decode, time.Millisecond)
		case "cache_n":
			setInt(c, &t.cached)
		case "prompt_n":
			setInt(c, &t.prompt)
		case "predicted_n":
			setInt(c, &t.predicted)
		default:
			c.skip()
		}
	}
}

// ollama takes one of Ollama's durations: nanoseconds.
func (t *timings) ollama(c *cursor, to *Opt[time.Duration]) {
	t.source = "ollama"
	setDuration(c, to, time.Nanosecond)
}

func setInt(c *cursor, to *Opt[int64]) {
	if v, ok := c.integer(); ok {
		*to = Some(v)
	}
}

// maxLatency is the longest duration of a request that is believed.
const maxLatency = 7 * 24 * time.Hour

func setDuration(c *cursor, to *Opt[time.Duration], unit time.Duration) {
	if v, ok := c.number(); ok && v >= 0 && v*float64(unit) <= float64(maxLatency) {
		*to = Some(time.Duration(v * float64(unit)))
	}
}

// scalar takes a string or a number as text.
func scalar(c *cursor) []byte {
	if b := c.peek(); b == '-' || b >= '0' && b <= '9' {
		return c.digits()
	}
	return c.str()
}

// listText tells whether the next value is a list, and whether it is empty.
func listText(c *cursor) text {
	if !c.array() {
		return textNone
	}
	t := textEmpty
	for c.element() {
		t = textSome
		c.skip()
	}
	return t
}
