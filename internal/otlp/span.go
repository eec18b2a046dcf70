package otlp

// TraceID is the 16-byte identifier of a trace.
type TraceID [16]byte

// SpanID is the 8-byte identifier of a span within its trace and process.
type SpanID [8]byte

// Kind is OTLP's SpanKind.
type Kind uint8

// The span kinds of OTLP.
const (
	KindUnspecified Kind = iota
	KindInternal
	KindServer
	KindClient
	KindProducer
	KindConsumer
)

// StatusCode is OTLP's Status.StatusCode.
type StatusCode uint8

// The status codes of OTLP.
const (
	StatusUnset StatusCode = iota
	StatusOK
	StatusError
)

// Process is the identity of the program a span came from: its OTLP resource, of which one value is shared by all spans of a
// process. Spans are keyed by trace, span id and process, because tensor-parallel ranks of vLLM emit equal span ids.
type Process struct {
	Service    string  // service.name
	InstanceID string  // service.instance.id
	PID        int     // process.pid, else vllm.process_id; 0 when neither is given
	Kind       string  // vllm.process_kind
	Name       string  // vllm.process_name
	RunID      string  // forkspan.run.id
	Attributes []Field // the whole resource, in wire order
}

// Scope is the instrumentation scope of a span.
type Scope struct {
	Name    string
	Version string
}

// Field is one attribute. Value is a string, bool, int64, float64, []byte, []any, []Field (a key-value list) or nil (an empty AnyValue).
type Field struct {
	Key   string
	Value any
}

// Event is a span event.
type Event struct {
	Time       int64 // Unix nanoseconds
	Name       string
	Attributes []Field
}

// Link is a span link.
type Link struct {
	TraceID    TraceID
	SpanID     SpanID
	Attributes []Field
}

// Span is one decoded span.
type Span struct {
	TraceID  TraceID
	SpanID   SpanID
	ParentID SpanID // zero for a root
	Flags    uint32
	Kind     Kind
	Status   StatusCode
	Name     string
	Message  string // status message
	Start    int64  // Unix nanoseconds
	End      int64  // Unix nanoseconds; 0 for an unfinished span
	Process  *Process
	Scope    *Scope

	wire []byte // protobuf of the span, from which Attributes, Events and Links are read on demand
}
