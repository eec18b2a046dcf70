package otlp

// Summary is what the store's index needs to know of a request without decoding it.
type Summary struct {
	Spans     int
	Traces    []TraceSummary
	Processes []ProcessSummary
}

// TraceSummary is a request's share of one trace.
type TraceSummary struct {
	TraceID TraceID
	Spans   int
	Start   int64  // earliest start, Unix nanoseconds
	End     int64  // latest end, Unix nanoseconds; 0 when no span has ended
	Root    string // name of the first span without a parent; empty when there is none
	Errors  int    // spans with status Error
}

// ProcessSummary is the identity of one resource of a request.
type ProcessSummary struct {
	Service, InstanceID, Kind, Name, RunID string
	PID                                    int
	Spans                                  int
}

// Scan walks body, the protobuf of an ExportTraceServiceRequest, once. It returns the request without its malformed spans
// (body itself when there are none), the summary of what is left, and how many spans were cut out and why the first was.
// An error means that body as a whole is not a request.
func Scan(body []byte) (clean []byte, sum Summary, rejected int, reason string, err error) {
	panic("stub")
}

// Decode returns the spans of body, the protobuf of an ExportTraceServiceRequest. Spans of one resource share their
// Process and Scope. The spans keep references into body.
func Decode(body []byte) ([]Span, error) { panic("stub") }

// FromJSON converts one export request in OTLP JSON into its protobuf.
func FromJSON(data []byte) ([]byte, error) { panic("stub") }

// AppendJSON appends body, the protobuf of an ExportTraceServiceRequest, to dst as one line of OTLP JSON without the line's end.
func AppendJSON(dst, body []byte) ([]byte, error) { panic("stub") }

// Attributes decodes the span's attributes, in wire order.
func (s *Span) Attributes() []Field { panic("stub") }

// Attribute returns the value of the attribute key, and whether it is there.
func (s *Span) Attribute(key string) (any, bool) { panic("stub") }

// Events decodes the span's events, in wire order.
func (s *Span) Events() []Event { panic("stub") }

// Links decodes the span's links, in wire order.
func (s *Span) Links() []Link { panic("stub") }
