package genai

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// spanName returns "{operation} {model}" as far as they are known.
func (r *Request) spanName(model string) string {
	op := r.api.Operation()
	switch {
	case op == "" && r.method == "":
		return "request"
	case op == "":
		return r.method
	case model == "":
		return op
	}
	return op + " " + model
}

// startAttributes appends what the request tells, so that samplers see it.
func (r *Request) startAttributes(to []attribute.KeyValue) []attribute.KeyValue {
	f := &r.fields
	if op := r.api.Operation(); op != "" {
		to = append(to, attribute.String(AttrOperationName, op))
	}
	to = addString(to, AttrProviderName, r.provider)
	to = addString(to, AttrRequestModel, f.model)
	to = addString(to, AttrServerAddress, r.address)
	if r.address != "" && r.port > 0 {
		to = append(to, attribute.Int(AttrServerPort, r.port))
	}
	to = addString(to, AttrURLPath, r.path)
	if f.known && r.streaming() {
		to = append(to, attribute.Bool(AttrRequestStream, true))
	}
	if f.choices.Or(1) != 1 {
		to = addInt(to, AttrRequestChoiceCount, f.choices)
	}
	to = addInt(to, AttrRequestMaxTokens, f.maxTokens)
	to = addFloat(to, AttrRequestTemperature, f.temperature)
	to = addFloat(to, AttrRequestTopP, f.topP)
	to = addInt(to, AttrRequestTopK, f.topK)
	to = addInt(to, AttrRequestSeed, f.seed)
	to = addFloat(to, AttrRequestFrequencyPenalty, f.frequencyPenalty)
	to = addFloat(to, AttrRequestPresencePenalty, f.presencePenalty)
	to = addInt(to, AttrEmbeddingsDimensions, f.dimensions)
	to = addString(to, AttrRequestReasoningLevel, f.reasoning)
	return addString(to, AttrRequestPreviousResponse, f.previous)
}

// write puts what the answer told on the span.
func (r *Request) write() {
	if !r.span.IsRecording() {
		return
	}
	c := &r.call
	if c.RequestModel == "" && c.ResponseModel != "" {
		r.span.SetName(r.spanName(c.ResponseModel))
	}
	var buf [24]attribute.KeyValue
	to := buf[:0]
	if c.Provider != r.startProvider() {
		to = addString(to, AttrProviderName, c.Provider)
	}
	to = addString(to, AttrResponseID, c.ResponseID)
	to = addString(to, AttrResponseModel, c.ResponseModel)
	if len(c.FinishReasons) > 0 {
		to = append(to, attribute.StringSlice(AttrResponseFinishReasons, c.FinishReasons))
	}
	to = addInt(to, AttrUsageInput, c.Usage.Input)
	to = addInt(to, AttrUsageOutput, c.Usage.Output)
	to = addInt(to, AttrUsageCacheRead, c.Usage.CacheRead)
	to = addInt(to, AttrUsageCacheWrite, c.Usage.CacheWrite)
	to = addInt(to, AttrUsageReasoning, c.Usage.Reasoning)
	if c.StatusCode > 0 {
		to = append(to, attribute.Int(AttrStatusCode, c.StatusCode))
	}
	to = addSeconds(to, AttrResponseFirstChunk, c.Latency.FirstEvent)
	to = addSeconds(to, AttrTimeToFirstToken, c.Latency.FirstToken)
	to = addSeconds(to, AttrTimeToFirstText, c.Latency.FirstText)
	to = addSeconds(to, AttrTimeToHeaders, c.Latency.Headers)
	to = addSeconds(to, AttrTimeToLastToken, c.Latency.LastToken)
	to = addSeconds(to, AttrTimePerOutputToken, c.Latency.PerOutputToken)
	to = addSeconds(to, AttrServerLoad, c.Latency.Load)
	to = addSeconds(to, AttrServerPrefill, c.Latency.Prefill)
	to = addSeconds(to, AttrServerDecode, c.Latency.Decode)
	if c.Gaps.Len() > 0 {
		to = append(to, attribute.String(AttrChunkGaps, c.Gaps.String()))
	}
	if c.Unparsed > 0 {
		to = append(to, attribute.Int64(AttrUnparsed, c.Unparsed))
	}
	if r.rec.vllm {
		to = addVLLM(to, c)
	}
	if c.ErrorType != "" {
		to = append(to, attribute.String(AttrErrorType, c.ErrorType))
		r.span.SetStatus(codes.Error, c.ErrorType)
	}
	r.span.SetAttributes(to...)
	if !r.marks.FirstToken.IsZero() {
		r.span.AddEvent("first token", trace.WithTimestamp(r.marks.FirstToken))
	}
	r.writePhases()
}

// addVLLM adds the names of vLLM's llm_request, as far as a client knows their values.
func addVLLM(to []attribute.KeyValue, c *Call) []attribute.KeyValue {
	to = addSeconds(to, AttrVLLMTimeToFirstToken, c.Latency.FirstToken)
	to = addSeconds(to, AttrVLLME2E, c.Latency.Total)
	to = addSeconds(to, AttrVLLMPrefill, c.Latency.Prefill)
	if first, last := c.Latency.FirstToken, c.Latency.LastToken; first.Set && last.Set {
		to = addSeconds(to, AttrVLLMDecode, Some(last.Value-first.Value))
	}
	to = addInt(to, AttrVLLMPromptTokens, c.Usage.Input)
	to = addInt(to, AttrVLLMCompletionTokens, c.Usage.Output)
	to = addString(to, AttrVLLMRequestID, c.ResponseID)
	return append(to, attribute.Int64(AttrVLLMRequestN, c.Choices.Or(1)))
}

// writePhases adds the durations that the server reported as child spans. Only their lengths are known: they are laid end to
// end, the last one up to the last token (or the end of an answer that was not streamed), and none before the request.
func (r *Request) writePhases() {
	t := &r.result.timings
	if t.source == "" {
		return
	}
	end := r.marks.LastToken
	if end.IsZero() {
		end = r.marks.End
	}
	for _, phase := range [...]struct {
		name string
		d    Opt[time.Duration]
	}{{"decode", t.decode}, {"prefill", t.prefill}, {"load", t.load}} {
		if !phase.d.Set || phase.d.Value <= 0 {
			continue
		}
		start := end.Add(-phase.d.Value)
		if start.Before(r.marks.Received) {
			start = r.marks.Received
		}
		if end.Before(start) {
			end = start
		}
		_, span := r.rec.tracer.Start(r.ctx, phase.name, trace.WithTimestamp(start), trace.WithAttributes(
			attribute.Bool(AttrDerived, true), attribute.String(AttrDerivedFrom, t.source)))
		span.End(trace.WithTimestamp(end))
		end = start
	}
}

func addString(to []attribute.KeyValue, key, v string) []attribute.KeyValue {
	if v == "" {
		return to
	}
	return append(to, attribute.String(key, v))
}

func addInt(to []attribute.KeyValue, key string, v Opt[int64]) []attribute.KeyValue {
	if !v.Set {
		return to
	}
	return append(to, attribute.Int64(key, v.Value))
}

func addFloat(to []attribute.KeyValue, key string, v Opt[float64]) []attribute.KeyValue {
	if !v.Set {
		return to
	}
	return append(to, attribute.Float64(key, v.Value))
}

func addSeconds(to []attribute.KeyValue, key string, v Opt[time.Duration]) []attribute.KeyValue {
	if !v.Set {
		return to
	}
	return append(to, attribute.Float64(key, v.Value.Seconds()))
}
