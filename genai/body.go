package genai

// requestFields is what is read of a request's body, of whatever API.
type requestFields struct {
	known            bool // there was a body
	model            string
	stream           Opt[bool]
	choices          Opt[int64]
	prompts          int64 // of a completion: how many there are, each gets its own choices
	maxTokens        Opt[int64]
	temperature      Opt[float64]
	topP             Opt[float64]
	topK             Opt[int64]
	seed             Opt[int64]
	frequencyPenalty Opt[float64]
	presencePenalty  Opt[float64]
	dimensions       Opt[int64]
	reasoning        string
	previous         string
}

// read takes the fields of a body, and reports whether it was whole. Of one that is cut off, what comes before the cut counts.
func (f *requestFields) read(body []byte) (whole bool) {
	defer func() { _ = recover() }() // recording must not take the program down
	c := cursor{data: body}
	if c.peek() == '{' {
		f.known = true
		f.fields(&c)
	}
	return c.done()
}

func (f *requestFields) fields(c *cursor) {
	if !c.object() {
		return
	}
	for key, ok := c.key(); ok; key, ok = c.key() {
		switch string(key) {
		case "model":
			f.model = name(c.str())
		case "stream":
			if v, ok := c.boolean(); ok {
				f.stream = Some(v)
			}
		case "n":
			setInt(c, &f.choices)
		case "prompt":
			f.prompts = countPrompts(c)
		case "max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict", "num_predict":
			setInt(c, &f.maxTokens)
		case "temperature":
			setFloat(c, &f.temperature)
		case "top_p":
			setFloat(c, &f.topP)
		case "top_k":
			setInt(c, &f.topK)
		case "seed":
			setInt(c, &f.seed)
		case "frequency_penalty":
			setFloat(c, &f.frequencyPenalty)
		case "presence_penalty":
			setFloat(c, &f.presencePenalty)
		case "dimensions":
			setInt(c, &f.dimensions)
		case "reasoning_effort":
			f.reasoning = word(c.str())
		case "reasoning":
			f.effort(c)
		case "previous_response_id":
			f.previous = name(c.str())
		case "options": // Ollama
			f.fields(c)
		default:
			c.skip()
		}
	}
}

// effort reads the "reasoning" of Responses.
func (f *requestFields) effort(c *cursor) {
	if !c.object() {
		return
	}
	for key, ok := c.key(); ok; key, ok = c.key() {
		if string(key) == "effort" {
			f.reasoning = word(c.str())
		} else {
			c.skip()
		}
	}
}

// countPrompts counts the prompts of a completion: a text or a list of token ids is one, a list of those is many.
func countPrompts(c *cursor) int64 {
	if c.peek() != '[' {
		c.skip()
		return 1
	}
	c.array()
	n := int64(0)
	for c.element() {
		if b := c.peek(); b == '"' || b == '[' {
			n++
		}
		c.skip()
	}
	return max(n, 1)
}

func setFloat(c *cursor, to *Opt[float64]) {
	if v, ok := c.number(); ok {
		*to = Some(v)
	}
}

// expected returns how many choices the answer has.
func (f *requestFields) expected() int64 {
	n := max(f.choices.Or(1), 1)
	if p := max(f.prompts, 1); p <= maxChoices {
		n *= p
	}
	return min(n, maxChoices)
}

// maxChoices bounds the choices of one request whose finish reasons are kept.
const maxChoices = 1024
