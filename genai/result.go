package genai

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// result is what an answer has told so far.
type result struct {
	status    int
	answered  bool // a header came
	form      form // of the body, once it has ended
	id, model string
	reasons   []string // by choice
	reasoned  int64    // choices that have one
	usage     usageFields
	timings   timings
	unparsed  int64
	complete  bool // everything has come: a client that leaves now has not failed
	failed    bool // the server said so in the body
	errorWord string
}

// note takes over what an event says.
func (res *result) note(r *Request, e *event) {
	if res.id == "" && len(e.id) > 0 {
		res.id = name(e.id)
	}
	if res.model == "" && len(e.model) > 0 {
		if asked := r.fields.model; string(e.model) == asked {
			res.model = asked // spares the allocation
		} else {
			res.model = name(e.model)
		}
	}
	if r.rec.provider == "" && (e.vllm || bytes.HasPrefix(e.fingerprint, []byte("vllm-"))) {
		r.provider = "vllm"
	}
	res.usage.merge(e.usage)
	if e.timings.source != "" {
		res.timings = e.timings
	}
	for _, reason := range e.reasons {
		res.reason(reason)
	}
	if e.failed {
		res.failed = true
		if res.errorWord == "" {
			res.errorWord = e.errorWord()
		}
	}
	res.complete = res.complete || e.last() || res.reasoned >= r.fields.expected()
}

func (res *result) reason(new reason) {
	if new.choice >= maxChoices {
		return
	}
	text := word(new.text)
	for int64(len(res.reasons)) <= new.choice {
		res.reasons = append(res.reasons, "")
	}
	if res.reasons[new.choice] == "" && text != "" {
		res.reasoned++
		res.reasons[new.choice] = text
	}
}

// errorType tells how the request failed, err being the error it ended with: "" when it did not.
func (res *result) errorType(err error) string {
	if res.failed || res.status >= 400 {
		switch {
		case res.errorWord != "":
			return res.errorWord
		case res.status >= 400:
			return strconv.Itoa(res.status)
		}
		return "_OTHER" // the conventions' word for an error without a type
	}
	if res.complete {
		return ""
	}
	if word := errorType(err, res.answered); word != "" {
		return word
	}
	if (res.form == formEvents || res.form == formLines) && res.unparsed == 0 {
		return ErrorTypeUpstreamCut // it ended cleanly, but neither a finish reason nor a last event came
	}
	return ""
}

// finishReasons returns the reasons by choice. The conventions want "error" for a choice that was cut off.
func (res *result) finishReasons(expected int64, cut bool) []string {
	if !cut && res.reasoned == int64(len(res.reasons)) {
		return slices.Clip(res.reasons)
	}
	reasons := slices.Clone(res.reasons)
	if cut {
		for int64(len(reasons)) < expected {
			reasons = append(reasons, "")
		}
		for i := range reasons {
			if reasons[i] == "" {
				reasons[i] = "error"
			}
		}
		return reasons
	}
	return slices.DeleteFunc(reasons, func(s string) bool { return s == "" })
}

// usageTotal returns the usage. llama.cpp's timings stand in where a stream has no usage of its own.
func (res *result) usageTotal() Usage {
	u, t := res.usage.total(), res.timings
	if !u.Input.Set && t.prompt.Set {
		u.Input = Some(t.prompt.Value + t.cached.Or(0))
	}
	if !u.CacheRead.Set {
		u.CacheRead = t.cached
	}
	if !u.Output.Set {
		u.Output = t.predicted
	}
	return u
}

// streaming tells whether the request asked for a stream, which is Ollama's default.
func (r *Request) streaming() bool {
	return r.fields.stream.Or(r.api == APIOllamaChat || r.api == APIOllamaGenerate)
}

// makeCall draws everything that is known together.
func (r *Request) makeCall(errorType string) Call {
	res, m := &r.result, &r.marks
	c := Call{
		Dialect:       DialectGenAI,
		Operation:     r.api.Operation(),
		Provider:      r.provider,
		RequestModel:  r.fields.model,
		ResponseModel: res.model,
		ResponseID:    res.id,
		Route:         r.path,
		ServerAddress: r.address,
		ServerPort:    r.port,
		StatusCode:    res.status,
		ErrorType:     errorType,
		FinishReasons: res.finishReasons(r.fields.expected(), errorType != "" && !m.FirstEvent.IsZero()),
		Choices:       r.fields.choices,
		MaxTokens:     r.fields.maxTokens,
		Temperature:   r.fields.temperature,
		TopP:          r.fields.topP,
		Usage:         res.usageTotal(),
		Gaps:          m.Gaps,
		Unparsed:      res.unparsed,
	}
	if r.fields.known {
		c.Stream = Some(r.streaming())
	}
	c.Latency = Latency{
		FirstToken: elapsed(m.TimeToFirstToken()),
		FirstEvent: elapsed(m.TimeToFirstEvent()),
		FirstText:  elapsed(between(m.Received, m.FirstText)),
		Headers:    elapsed(between(m.Received, m.Headers)),
		LastToken:  elapsed(between(m.Received, m.LastToken)),
		Total:      elapsed(m.Duration()),
		Load:       res.timings.load,
		Prefill:    res.timings.prefill,
		Decode:     res.timings.decode,
	}
	if r.fields.expected() == 1 {
		c.Latency.PerOutputToken = elapsed(m.TimePerOutputToken(c.Usage.Output.Or(0)))
	}
	return c
}

func elapsed(d time.Duration, ok bool) Opt[time.Duration] {
	return Opt[time.Duration]{Value: d, Set: ok}
}

// providerOf tells the server from the header of its answer, where it says so.
func providerOf(h http.Header) string {
	if strings.HasPrefix(h.Get("Server"), "llama.cpp") {
		return "llama.cpp"
	}
	return ""
}
