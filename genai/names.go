package genai

// Dialect tells whose names a span uses.
type Dialect uint8

// The dialects that are read.
const (
	DialectUnknown       Dialect = iota // not a request to a model
	DialectGenAI                        // GenAI conventions, current and older
	DialectVLLM                         // vLLM's llm_request
	DialectOpenInference                // OpenInference
	DialectTraceloop                    // Traceloop's OpenLLMetry
)

var dialects = [...]string{"unknown", "gen_ai", "vllm", "openinference", "traceloop"}

// String returns the dialect's name for people.
func (d Dialect) String() string {
	if int(d) >= len(dialects) {
		return dialects[DialectUnknown]
	}
	return dialects[d]
}

// Values of gen_ai.operation.name that stand for requests to a model.
const (
	OperationChat            = "chat"
	OperationTextCompletion  = "text_completion"
	OperationEmbeddings      = "embeddings"
	OperationGenerateContent = "generate_content" // read, not written
)

// Names of the current GenAI conventions (open-telemetry/semantic-conventions-genai, span gen_ai.client.inference), and of the
// general ones that go with them. These are written.
const (
	AttrOperationName           = "gen_ai.operation.name"
	AttrProviderName            = "gen_ai.provider.name"
	AttrRequestModel            = "gen_ai.request.model"
	AttrRequestStream           = "gen_ai.request.stream"       // bool, written only if true
	AttrRequestChoiceCount      = "gen_ai.request.choice.count" // int, written only if not 1
	AttrRequestMaxTokens        = "gen_ai.request.max_tokens"
	AttrRequestTemperature      = "gen_ai.request.temperature"
	AttrRequestTopP             = "gen_ai.request.top_p"
	AttrRequestTopK             = "gen_ai.request.top_k"
	AttrRequestSeed             = "gen_ai.request.seed"
	AttrRequestFrequencyPenalty = "gen_ai.request.frequency_penalty"
	AttrRequestPresencePenalty  = "gen_ai.request.presence_penalty"
	AttrRequestPreviousResponse = "gen_ai.request.previous_response.id"
	AttrRequestReasoningLevel   = "gen_ai.request.reasoning.level"
	AttrEmbeddingsDimensions    = "gen_ai.embeddings.dimension.count"
	AttrResponseID              = "gen_ai.response.id"
	AttrResponseModel           = "gen_ai.response.model"
	AttrResponseFinishReasons   = "gen_ai.response.finish_reasons"      // string[], in the order of the choices
	AttrResponseFirstChunk      = "gen_ai.response.time_to_first_chunk" // double, s, of streams
	AttrUsageInput              = "gen_ai.usage.input_tokens"           // cached ones included
	AttrUsageOutput             = "gen_ai.usage.output_tokens"
	AttrUsageCacheRead          = "gen_ai.usage.cache_read.input_tokens"
	AttrUsageCacheWrite         = "gen_ai.usage.cache_write.input_tokens"
	AttrUsageReasoning          = "gen_ai.usage.reasoning.output_tokens"
	AttrErrorType               = "error.type"
	AttrServerAddress           = "server.address"
	AttrServerPort              = "server.port"
	AttrStatusCode              = "http.response.status_code"
	AttrURLPath                 = "url.path"
)

// Names of forkspan, for what no convention has. Durations are doubles in seconds, from the request's arrival.
const (
	AttrTimeToFirstToken   = "forkspan.gen_ai.time_to_first_token"
	AttrTimeToFirstText    = "forkspan.gen_ai.time_to_first_text"
	AttrTimeToHeaders      = "forkspan.gen_ai.time_to_headers"
	AttrTimeToLastToken    = "forkspan.gen_ai.time_to_last_token"
	AttrTimePerOutputToken = "forkspan.gen_ai.time_per_output_token" // double, s
	AttrChunkGaps          = "forkspan.gen_ai.chunk_gaps"            // string, see Gaps.String
	AttrUnparsed           = "forkspan.gen_ai.unparsed"              // int, events not understood, written only if not 0
	AttrServerLoad         = "forkspan.gen_ai.server.load"           // double, s, as the server reported it
	AttrServerPrefill      = "forkspan.gen_ai.server.prefill"        // double, s, as the server reported it
	AttrServerDecode       = "forkspan.gen_ai.server.decode"         // double, s, as the server reported it
	AttrDerived            = "forkspan.derived"                      // bool, true on spans drawn from reported durations
	AttrDerivedFrom        = "forkspan.derived.from"                 // string, who reported them: llama.cpp, ollama
)

// Names of vLLM's llm_request span (vllm/tracing/utils.py, class SpanAttributes). Latencies are doubles in seconds. Written
// with [WithVLLMNames].
const (
	AttrVLLMTimeToFirstToken = "gen_ai.latency.time_to_first_token"
	AttrVLLME2E              = "gen_ai.latency.e2e"
	AttrVLLMQueue            = "gen_ai.latency.time_in_queue"
	AttrVLLMPrefill          = "gen_ai.latency.time_in_model_prefill"
	AttrVLLMDecode           = "gen_ai.latency.time_in_model_decode"
	AttrVLLMInference        = "gen_ai.latency.time_in_model_inference"
	AttrVLLMRequestID        = "gen_ai.request.id"
	AttrVLLMRequestN         = "gen_ai.request.n"
	AttrVLLMPromptTokens     = "gen_ai.usage.prompt_tokens"     // also of the GenAI conventions before v1.27
	AttrVLLMCompletionTokens = "gen_ai.usage.completion_tokens" // also of the GenAI conventions before v1.27
)

// Older names of the GenAI conventions: read only.
const (
	oldSystem           = "gen_ai.system"                            // until v1.36: the provider
	oldCacheCreation    = "gen_ai.usage.cache_creation.input_tokens" // until the move to a repository of their own
	oldServerFirstToken = "gen_ai.server.time_to_first_token"        // a metric's name that some put on spans
)

// Names of OpenInference (Arize-ai/openinference, spec/semantic_conventions.md): read only.
const (
	openInferenceKind         = "openinference.span.kind" // LLM, EMBEDDING; others are no requests to a model
	openInferenceModel        = "llm.model_name"
	openInferenceEmbedModel   = "embedding.model_name"
	openInferenceProvider     = "llm.provider"
	openInferenceSystem       = "llm.system"
	openInferencePrompt       = "llm.token_count.prompt"
	openInferenceCompletion   = "llm.token_count.completion"
	openInferenceCacheRead    = "llm.token_count.prompt_details.cache_read"
	openInferenceCacheWrite   = "llm.token_count.prompt_details.cache_write"
	openInferenceReasoning    = "llm.token_count.completion_details.reasoning"
	openInferenceParameters   = "llm.invocation_parameters" // a JSON object, of which numbers are read
	openInferenceFinishReason = "llm.finish_reason"
)

// Names of Traceloop's OpenLLMetry (traceloop/openllmetry, opentelemetry-semantic-conventions-ai): read only.
const (
	traceloopRequestType      = "llm.request.type" // chat, completion, embedding; others are no requests to a model
	traceloopStreaming        = "llm.is_streaming"
	traceloopFinishReason     = "llm.response.finish_reason"
	traceloopStopReason       = "llm.response.stop_reason"
	traceloopCacheRead        = "gen_ai.usage.cache_read_input_tokens"
	traceloopCacheCreation    = "gen_ai.usage.cache_creation_input_tokens"
	traceloopReasoning        = "gen_ai.usage.reasoning_tokens"
	traceloopOldVendor        = "llm.vendor"
	traceloopOldRequestModel  = "llm.request.model"
	traceloopOldResponseModel = "llm.response.model"
	traceloopOldPrompt        = "llm.usage.prompt_tokens"
	traceloopOldCompletion    = "llm.usage.completion_tokens"
	traceloopOldMaxTokens     = "llm.request.max_tokens"
	traceloopOldTemperature   = "llm.temperature"
	traceloopOldTopP          = "llm.top_p"
)
