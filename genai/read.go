package genai

import (
	"iter"
	"math"
	"time"
)

// ReadCall reads a span's attributes, in whatever dialect they are, and reports whether the span is a request to a model.
// Values are string, bool, any kind of integer or float, []string or []any; numbers may come as integers or doubles, or in a
// string. Names of several dialects on one span complete each other, current ones win.
//
// Latencies that cannot be are unset: negative ones, ones of more than a week, ones longer than the whole request (vLLM
// computes such for requests that were never scheduled), and a time to first token of zero, which is vLLM's way to say that
// there was none. Latency.Total is unset where no attribute tells it: the span's own duration is for the caller to fill in.
func ReadCall(attributes iter.Seq2[string, any]) (Call, bool) {
	var r reader
	for key, value := range attributes {
		r.read(key, value)
	}
	return r.call, r.finish()
}

// reader collects a call from attributes that come in any order.
type reader struct {
	call                 Call
	old                  Call // what older names and other dialects say
	operation            string
	vllm                 bool
	openInference        string // kind of span
	traceloop, notAModel bool
	any                  bool
}

func (r *reader) read(key string, v any) {
	if len(key) < 5 {
		return
	}
	switch {
	case len(key) > 7 && key[:7] == "gen_ai.":
		r.readGenAI(key, v)
	case len(key) > 9 && key[:9] == "forkspan.":
		r.readForkspan(key, v)
	case key[:4] == "llm." || len(key) > 14 && key[:14] == "openinference." || len(key) > 10 && key[:10] == "embedding.":
		r.readLLM(key, v)
	default:
		r.readGeneral(key, v)
	}
}

func (r *reader) readGeneral(key string, v any) {
	c := &r.call
	switch key {
	case AttrErrorType:
		c.ErrorType = toString(v)
	case AttrServerAddress:
		c.ServerAddress = toString(v)
	case AttrServerPort:
		c.ServerPort = int(toInt(v).Or(0))
	case AttrStatusCode:
		c.StatusCode = int(toInt(v).Or(0))
	case "http.route":
		c.Route = toString(v)
	case AttrURLPath:
		if c.Route == "" {
			c.Route = toString(v)
		}
	}
}

func (r *reader) readGenAI(key string, v any) {
	c := &r.call
	switch key {
	case AttrOperationName:
		r.operation = toString(v)
	case AttrProviderName:
		c.Provider = toString(v)
	case oldSystem:
		r.old.Provider = toString(v)
		r.any = true
	case AttrRequestModel:
		c.RequestModel = toString(v)
	case AttrRequestStream:
		c.Stream = toBool(v)
	case AttrRequestChoiceCount:
		c.Choices = toInt(v)
	case AttrVLLMRequestN:
		r.old.Choices = toInt(v)
	case AttrRequestMaxTokens:
		c.MaxTokens = toInt(v)
	case AttrRequestTemperature:
		c.Temperature = toFloat(v)
	case AttrRequestTopP:
		c.TopP = toFloat(v)
	case AttrResponseID:
		c.ResponseID = toString(v)
	case AttrVLLMRequestID:
		c.RequestID = toString(v)
	case AttrResponseModel:
		c.ResponseModel = toString(v)
	case AttrResponseFinishReasons:
		c.FinishReasons = toStrings(v)
	case AttrResponseFirstChunk:
		c.Latency.FirstEvent = toSeconds(v)
	case oldServerFirstToken:
		r.old.Latency.FirstToken = toSeconds(v)
	case AttrUsageInput:
		c.Usage.Input, r.any = toInt(v), true
	case AttrUsageOutput:
		c.Usage.Output, r.any = toInt(v), true
	case AttrVLLMPromptTokens:
		r.old.Usage.Input, r.any = toInt(v), true
	case AttrVLLMCompletionTokens:
		r.old.Usage.Output, r.any = toInt(v), true
	case AttrUsageCacheRead:
		c.Usage.CacheRead = toInt(v)
	case traceloopCacheRead:
		r.old.Usage.CacheRead = toInt(v)
	case AttrUsageCacheWrite:
		c.Usage.CacheWrite = toInt(v)
	case oldCacheCreation, traceloopCacheCreation:
		r.old.Usage.CacheWrite = toInt(v)
	case AttrUsageReasoning:
		c.Usage.Reasoning = toInt(v)
	case traceloopReasoning:
		r.old.Usage.Reasoning = toInt(v)
	default:
		r.readVLLM(key, v)
	}
}

func (r *reader) readVLLM(key string, v any) {
	l := &r.old.Latency
	switch key {
	case AttrVLLMTimeToFirstToken:
		l.FirstToken = toSeconds(v)
		if l.FirstToken.Value == 0 {
			l.FirstToken.Set = false
		}
	case AttrVLLME2E:
		l.Total = toSeconds(v)
	case AttrVLLMQueue:
		l.Queue = toSeconds(v)
	case AttrVLLMPrefill:
		l.Prefill = toSeconds(v)
	case AttrVLLMDecode:
		l.Decode = toSeconds(v)
	case AttrVLLMInference:
		l.Inference = toSeconds(v)
	default:
		return
	}
	r.vllm = true
}

func (r *reader) readForkspan(key string, v any) {
	c := &r.call
	switch key {
	case AttrTimeToFirstToken:
		c.Latency.FirstToken = toSeconds(v)
	case AttrTimeToFirstText:
		c.Latency.FirstText = toSeconds(v)
	case AttrTimeToHeaders:
		c.Latency.Headers = toSeconds(v)
	case AttrTimeToLastToken:
		c.Latency.LastToken = toSeconds(v)
	case AttrTimePerOutputToken:
		c.Latency.PerOutputToken = toSeconds(v)
	case AttrServerLoad:
		c.Latency.Load = toSeconds(v)
	case AttrServerPrefill:
		c.Latency.Prefill = toSeconds(v)
	case AttrServerDecode:
		c.Latency.Decode = toSeconds(v)
	case AttrChunkGaps:
		c.Gaps, _ = ParseGaps(toString(v))
	case AttrUnparsed:
		c.Unparsed = toInt(v).Or(0)
	}
}

func (r *reader) readLLM(key string, v any) {
	o := &r.old
	switch key {
	case openInferenceKind:
		r.openInference = toString(v)
	case openInferenceModel, openInferenceEmbedModel, traceloopOldRequestModel:
		o.RequestModel = toString(v)
	case openInferenceProvider, traceloopOldVendor:
		o.Provider = toString(v)
	case openInferenceSystem:
		if o.Provider == "" {
			o.Provider = toString(v)
		}
	case openInferencePrompt, traceloopOldPrompt:
		o.Usage.Input = toInt(v)
	case openInferenceCompletion, traceloopOldCompletion:
		o.Usage.Output = toInt(v)
	case openInferenceCacheRead:
		o.Usage.CacheRead = toInt(v)
	case openInferenceCacheWrite:
		o.Usage.CacheWrite = toInt(v)
	case openInferenceReasoning:
		o.Usage.Reasoning = toInt(v)
	case openInferenceParameters:
		r.parameters(toString(v))
	case openInferenceFinishReason, traceloopFinishReason, traceloopStopReason:
		o.FinishReasons = toStrings(v)
	case traceloopRequestType:
		r.traceloop = true
		switch toString(v) {
		case "chat":
			o.Operation = OperationChat
		case "completion":
			o.Operation = OperationTextCompletion
		case "embedding":
			o.Operation = OperationEmbeddings
		default:
			r.notAModel = true
		}
	case traceloopStreaming:
		o.Stream = toBool(v)
	case traceloopOldResponseModel:
		o.ResponseModel = toString(v)
	case traceloopOldMaxTokens:
		o.MaxTokens = toInt(v)
	case traceloopOldTemperature:
		o.Temperature = toFloat(v)
	case traceloopOldTopP:
		o.TopP = toFloat(v)
	}
}

// parameters reads the numbers of OpenInference's llm.invocation_parameters.
func (r *reader) parameters(text string) {
	var f requestFields
	f.read([]byte(text))
	r.old.Choices, r.old.MaxTokens, r.old.Stream = f.choices, f.maxTokens, f.stream
	r.old.Temperature, r.old.TopP = f.temperature, f.topP
}

// finish settles whose names these were, and reports whether they are those of a request to a model.
func (r *reader) finish() bool {
	c, o := &r.call, &r.old
	switch r.operation {
	case OperationChat, OperationTextCompletion, OperationEmbeddings, OperationGenerateContent:
		c.Operation, c.Dialect = r.operation, DialectGenAI
	case "":
		switch {
		case r.notAModel:
		case r.vllm:
			c.Dialect = DialectVLLM
		case r.openInference == "LLM":
			c.Dialect, c.Operation = DialectOpenInference, OperationChat
		case r.openInference == "EMBEDDING":
			c.Dialect, c.Operation = DialectOpenInference, OperationEmbeddings
		case r.openInference != "":
		case r.traceloop:
			c.Dialect, c.Operation = DialectTraceloop, o.Operation
		case r.any:
			c.Dialect = DialectGenAI
		}
	}
	if c.Dialect == DialectUnknown {
		return false
	}
	r.complete()
	c.Latency.sanitize()
	l := &c.Latency
	if n := c.Usage.Output.Or(0); c.Dialect == DialectVLLM && !l.PerOutputToken.Set && l.Decode.Set && n > 1 {
		l.PerOutputToken = Some(l.Decode.Value / time.Duration(n-1)) // vLLM's decode is first to last token
	}
	return true
}

// complete fills what the current names left open.
func (r *reader) complete() {
	c, o := &r.call, &r.old
	for _, f := range [...]struct{ to, from *string }{
		{&c.Provider, &o.Provider}, {&c.RequestModel, &o.RequestModel}, {&c.ResponseModel, &o.ResponseModel},
	} {
		if *f.to == "" {
			*f.to = *f.from
		}
	}
	if c.Provider == "" && c.Dialect == DialectVLLM {
		c.Provider = "vllm"
	}
	if len(c.FinishReasons) == 0 {
		c.FinishReasons = o.FinishReasons
	}
	fill(&c.Stream, o.Stream)
	fill(&c.Choices, o.Choices)
	fill(&c.MaxTokens, o.MaxTokens)
	fill(&c.Temperature, o.Temperature)
	fill(&c.TopP, o.TopP)
	fill(&c.Usage.Input, o.Usage.Input)
	fill(&c.Usage.Output, o.Usage.Output)
	fill(&c.Usage.CacheRead, o.Usage.CacheRead)
	fill(&c.Usage.CacheWrite, o.Usage.CacheWrite)
	fill(&c.Usage.Reasoning, o.Usage.Reasoning)
	l, ol := &c.Latency, &o.Latency
	fill(&l.FirstToken, ol.FirstToken)
	fill(&l.Total, ol.Total)
	fill(&l.Prefill, ol.Prefill)
	fill(&l.Decode, ol.Decode)
	l.Queue, l.Inference = ol.Queue, ol.Inference
}

func fill[T any](to *Opt[T], from Opt[T]) {
	if !to.Set {
		*to = from
	}
}

// sanitize unsets latencies that cannot be.
func (l *Latency) sanitize() {
	longest := maxLatency
	if l.Total.Set {
		longest = l.Total.Value + time.Millisecond // both are rounded, and taken by different clocks
	}
	if l.Queue.Set && l.Queue.Value < 0 {
		// Never scheduled: the others are counted from a schedule time of zero.
		l.Prefill.Set, l.Inference.Set = false, false
	}
	for _, d := range [...]*Opt[time.Duration]{
		&l.Total, &l.FirstToken, &l.FirstEvent, &l.FirstText, &l.Headers, &l.LastToken, &l.PerOutputToken,
		&l.Queue, &l.Load, &l.Prefill, &l.Decode, &l.Inference,
	} {
		if d.Value < 0 || d.Value > longest || d.Value > maxLatency || !d.Set {
			*d = Opt[time.Duration]{}
		}
	}
}

func toString(v any) string {
	s, _ := v.(string)
	return s
}

// toStrings takes a list, or a single string as a list of one.
func toStrings(v any) []string {
	switch v := v.(type) {
	case []string:
		return v
	case string:
		if v != "" {
			return []string{v}
		}
	case []any:
		var l []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				l = append(l, s)
			}
		}
		return l
	}
	return nil
}

func toBool(v any) Opt[bool] {
	switch v := v.(type) {
	case bool:
		return Some(v)
	case string:
		if v == "true" || v == "True" || v == "false" || v == "False" {
			return Some(v[0]|0x20 == 't')
		}
	}
	return Opt[bool]{}
}

func toFloat(v any) Opt[float64] {
	switch v := v.(type) {
	case float64:
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			return Some(v)
		}
	case float32:
		return toFloat(float64(v))
	case int64:
		return Some(float64(v))
	case int:
		return Some(float64(v))
	case int32:
		return Some(float64(v))
	case uint64:
		return Some(float64(v))
	case string:
		c := cursor{data: []byte(v)}
		if f, ok := c.number(); ok && c.done() {
			return Some(f)
		}
	}
	return Opt[float64]{}
}

// toInt takes counts: whole numbers from 0 on.
func toInt(v any) Opt[int64] {
	switch v := v.(type) {
	case int64:
		return Opt[int64]{Value: max(v, 0), Set: v >= 0}
	case int:
		return toInt(int64(v))
	}
	f, ok := toFloat(v).Get()
	if !ok || f < 0 || f > 1<<53 {
		return Opt[int64]{}
	}
	return Some(int64(f))
}

// toSeconds takes a duration in seconds. Negative ones stay, as a sign for sanitize.
func toSeconds(v any) Opt[time.Duration] {
	f, ok := toFloat(v).Get()
	if !ok || math.Abs(f) > maxLatency.Seconds() {
		return Opt[time.Duration]{}
	}
	return Some(time.Duration(math.Round(f * 1e9)))
}
