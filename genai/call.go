package genai

import "time"

// Opt is a value that may be unset, which is not the same as zero.
type Opt[T any] struct {
	Value T
	Set   bool
}

// Some returns a set value.
func Some[T any](v T) Opt[T] { return Opt[T]{Value: v, Set: true} }

// Get returns the value, and whether it is set.
func (o Opt[T]) Get() (T, bool) { return o.Value, o.Set }

// Or returns the value, or def when it is unset.
func (o Opt[T]) Or(def T) T {
	if o.Set {
		return o.Value
	}
	return def
}

// Usage counts the tokens of a request, as its server reported them.
type Usage struct {
	Input      Opt[int64] // of the prompt, cached ones included
	Output     Opt[int64] // generated, reasoning included
	CacheRead  Opt[int64] // of the input, read from a cache
	CacheWrite Opt[int64] // of the input, written to a cache
	Reasoning  Opt[int64] // of the output, spent on reasoning
}

// Latency holds the durations of a request. Those that a client can see come from the marks, the others are told by the
// server.
type Latency struct {
	FirstToken     Opt[time.Duration] // arrival to first token
	FirstEvent     Opt[time.Duration] // arrival to first event of a stream; the conventions' time to first chunk
	FirstText      Opt[time.Duration] // arrival to first visible text
	Headers        Opt[time.Duration] // arrival to header of the answer
	LastToken      Opt[time.Duration] // arrival to last token
	PerOutputToken Opt[time.Duration] // mean after the first token
	Total          Opt[time.Duration] // arrival to end
	Queue          Opt[time.Duration] // server: waiting to be scheduled
	Load           Opt[time.Duration] // server: loading the model
	Prefill        Opt[time.Duration] // server: scheduled to first token
	Decode         Opt[time.Duration] // server: first to last token
	Inference      Opt[time.Duration] // server: scheduled to last token
}

// Call is one request to a model, whatever dialect it was recorded in. Strings are empty and numbers unset where nothing is
// known.
type Call struct {
	Dialect       Dialect
	Operation     string // chat, text_completion, embeddings
	Provider      string
	RequestModel  string
	ResponseModel string
	ResponseID    string
	RequestID     string // vLLM's gen_ai.request.id
	Route         string // path of the request, or the route's pattern
	ServerAddress string
	ServerPort    int
	Stream        Opt[bool]
	StatusCode    int    // HTTP, 0: unknown
	ErrorType     string // "": did not fail
	FinishReasons []string
	Choices       Opt[int64]
	MaxTokens     Opt[int64]
	Temperature   Opt[float64]
	TopP          Opt[float64]
	Usage         Usage
	Latency       Latency
	Gaps          Gaps
	Unparsed      int64 // events that could not be understood
}

// Model returns the model that answered, or else the one that was asked for.
func (c *Call) Model() string {
	if c.ResponseModel != "" {
		return c.ResponseModel
	}
	return c.RequestModel
}

// TokensPerSecond returns the speed at which the tokens after the first came.
func (c *Call) TokensPerSecond() (float64, bool) {
	d, ok := c.Latency.PerOutputToken.Get()
	if !ok || d <= 0 {
		return 0, false
	}
	return float64(time.Second) / float64(d), true
}
