// Package otlp reads and writes the wire forms of OTLP trace requests.
//
// A request is kept as the protobuf bytes of an ExportTraceServiceRequest from the moment it arrives until somebody
// reads it. [Scan] walks those bytes once for what the store's index needs; [Decode] turns them into [Span] values when
// they are read. OTLP JSON is converted to protobuf at the door ([FromJSON]) and back at the exit ([AppendJSON]).
package otlp
