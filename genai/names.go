package genai

// Dialect tells whose names a span uses.
type Dialect uint8

// The dialects that are read.
const (
	DialectUnknown       Dialect = iota // not a request to a model
	DialectGenAI                        // GenAI conventions, current and older
	DialectVLLM                         // vLLM's llm_request
	DialectOpenInference                // OpenInference
	DialectTraceloop                    // Traceloop
)

// Values of gen_ai.operation.name.
const (
	OperationChat           = "chat"
	OperationTextCompletion = "text_completion"
	OperationEmbeddings     = "embeddings"
)

// AttrChunkGaps holds the times between events that carry tokens, see [Gaps.String].
const AttrChunkGaps = "forkspan.gen_ai.chunk_gaps"
