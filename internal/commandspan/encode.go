package commandspan

import (
	"bytes"
	"cmp"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"forkspan.dev/forkspan/internal/otlp"
)

// Span is a span to be encoded. A zero End is left out: the span is unfinished.
type Span struct {
	TraceID    otlp.TraceID
	SpanID     otlp.SpanID
	ParentID   otlp.SpanID // zero for a root
	TraceState string
	Remote     bool // the parent is another process's
	Sampled    bool
	Name       string
	Start, End int64     // Unix nanoseconds
	Kind       otlp.Kind // unspecified means internal
	Attributes []otlp.Field
	Events     []otlp.Event
	Links      []otlp.Link
	Succeeded  bool   // status Ok
	Failed     bool   // status Error
	Message    string // of status Error
}

// The instrumentation scopes of the spans that forkspan itself makes: of commands, for scripts, and of processes.
const (
	scopeName        = "forkspan.dev/forkspan/run"
	scriptScopeName  = "forkspan.dev/forkspan/span"
	processScopeName = "forkspan.dev/forkspan/process"
)

// What the resource of those spans says of who made them.
const (
	sdkNameKey = "telemetry.sdk.name"
	sdkName    = "forkspan"
)

// W3C trace flags and what OTLP adds to them (opentelemetry/proto/trace/v1/trace.proto, SpanFlags).
const (
	flagSampled      = 0x001
	flagKnowsRemote  = 0x100
	flagRemoteParent = 0x200
)

// Encode returns the protobuf of an ExportTraceServiceRequest with the spans of one resource. No secret gets through, whatever
// the spans were made of.
func Encode(resource []otlp.Field, version string, spans ...Span) []byte {
	return encode(resource, scopeName, version, spans)
}

// EncodeScript is [Encode] for a span that a script has made.
func EncodeScript(resource []otlp.Field, version string, span Span) []byte {
	return encode(resource, scriptScopeName, version, []Span{span})
}

func encode(resource []otlp.Field, scopeName, version string, spans []Span) []byte {
	var scope []byte
	scope = appendText(scope, 1, scopeName)
	scope = appendText(scope, 2, version)
	scopeSpans := appendMessage(nil, 1, scope)
	for i := range spans {
		scopeSpans = appendMessage(scopeSpans, 2, spans[i].encode())
	}
	resourceSpans := appendMessage(nil, 1, appendFields(nil, 1, resource))
	resourceSpans = appendMessage(resourceSpans, 2, scopeSpans)
	body, _ := otlp.Redact(appendMessage(nil, 1, resourceSpans), otlp.Summary{})
	return body
}

// Made tells whether a request holds spans that a forkspan made: they are about processes and do not come from one.
func Made(body []byte, sum otlp.Summary) bool {
	for _, p := range sum.Processes {
		if p.PID != 0 || p.InstanceID != "" {
			return false
		}
	}
	return bytes.Contains(body, []byte(scopeName)) || bytes.Contains(body, []byte(scriptScopeName))
}

// OfProcesses tells whether a request holds the spans of processes, see [Tree], and no others.
func OfProcesses(body []byte) bool {
	if !bytes.Contains(body, []byte(processScopeName)) {
		return false
	}
	spans, err := otlp.Decode(body)
	return err == nil && !slices.ContainsFunc(spans, func(s otlp.Span) bool { return s.Scope == nil || s.Scope.Name != processScopeName })
}

// FromForkspan tells whether p is the resource that a forkspan puts its own spans under, see [Resource].
func FromForkspan(p *otlp.Process) bool {
	return slices.ContainsFunc(p.Attributes, func(f otlp.Field) bool { return f.Key == sdkNameKey && f.Value == sdkName })
}

func (s *Span) encode() []byte {
	b := appendMessage(nil, 1, s.TraceID[:])
	b = appendMessage(b, 2, s.SpanID[:])
	b = appendText(b, 3, s.TraceState)
	if s.ParentID != (otlp.SpanID{}) {
		b = appendMessage(b, 4, s.ParentID[:])
	}
	b = appendText(b, 5, s.Name)
	b = appendVarint(b, 6, uint64(cmp.Or(s.Kind, otlp.KindInternal)))
	b = appendTime(b, 7, s.Start)
	b = appendTime(b, 8, s.End)
	b = appendFields(b, 9, s.Attributes)
	for _, event := range s.Events {
		e := appendText(appendTime(nil, 1, event.Time), 2, event.Name)
		b = appendMessage(b, 11, appendFields(e, 3, event.Attributes))
	}
	for _, link := range s.Links {
		l := appendMessage(nil, 1, link.TraceID[:])
		l = appendMessage(l, 2, link.SpanID[:])
		b = appendMessage(b, 13, appendFields(l, 4, link.Attributes))
	}
	switch {
	case s.Failed:
		status := appendText(nil, 2, s.Message)
		b = appendMessage(b, 15, appendVarint(status, 3, uint64(otlp.StatusError)))
	case s.Succeeded:
		b = appendMessage(b, 15, appendVarint(nil, 3, uint64(otlp.StatusOK)))
	}
	flags := uint32(flagKnowsRemote)
	if s.Remote {
		flags |= flagRemoteParent
	}
	if s.Sampled {
		flags |= flagSampled
	}
	b = protowire.AppendTag(b, 16, protowire.Fixed32Type)
	return protowire.AppendFixed32(b, flags)
}

func appendMessage(b []byte, num protowire.Number, message []byte) []byte {
	b = protowire.AppendTag(b, num, protowire.BytesType)
	return protowire.AppendBytes(b, message)
}

// appendText leaves an empty text out, as proto3 does.
func appendText(b []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return appendMessage(b, num, []byte(s))
}

func appendVarint(b []byte, num protowire.Number, v uint64) []byte {
	b = protowire.AppendTag(b, num, protowire.VarintType)
	return protowire.AppendVarint(b, v)
}

func appendTime(b []byte, num protowire.Number, nanoseconds int64) []byte {
	if nanoseconds == 0 {
		return b
	}
	b = protowire.AppendTag(b, num, protowire.Fixed64Type)
	return protowire.AppendFixed64(b, uint64(nanoseconds))
}

// appendFields appends each field as a KeyValue numbered num.
func appendFields(b []byte, num protowire.Number, fields []otlp.Field) []byte {
	for _, f := range fields {
		kv := appendText(nil, 1, f.Key)
		b = appendMessage(b, num, appendMessage(kv, 2, encodeValue(f.Value)))
	}
	return b
}

// encodeValue encodes the kinds of values that our spans have: string, bool, int64, float64 and lists of them.
func encodeValue(value any) []byte {
	switch v := value.(type) {
	case string:
		return appendMessage(nil, 1, []byte(v))
	case bool:
		return appendVarint(nil, 2, protowire.EncodeBool(v))
	case int64:
		return appendVarint(nil, 3, uint64(v))
	case float64:
		return protowire.AppendFixed64(protowire.AppendTag(nil, 4, protowire.Fixed64Type), math.Float64bits(v))
	case []any:
		var list []byte
		for _, item := range v {
			list = appendMessage(list, 1, encodeValue(item))
		}
		return appendMessage(nil, 5, list)
	}
	return nil
}
