package otlp

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// FromJSON converts one export request in OTLP JSON into its protobuf. Unknown members are ignored. Ids are hexadecimal as
// OTLP wants them; base64, which generic protobuf tools write, is read as well. A span whose ids are neither keeps malformed
// ids, so that [Scan] cuts it out and its neighbours stay.
// See https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding.
func FromJSON(data []byte) ([]byte, error) {
	var r jsonRequest
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("read OTLP JSON: %w", err)
	}
	return r.appendTo(make([]byte, 0, len(data)/2)), nil
}

type jsonRequest struct {
	ResourceSpans []jsonResourceSpans `json:"resourceSpans"`
}

type jsonResourceSpans struct {
	Resource *struct {
		Attributes []jsonKeyValue `json:"attributes"`
		Dropped    jsonInt        `json:"droppedAttributesCount"`
		Entities   []jsonEntity   `json:"entityRefs"`
	} `json:"resource"`
	ScopeSpans []jsonScopeSpans `json:"scopeSpans"`
	SchemaURL  string           `json:"schemaUrl"`
}

type jsonEntity struct {
	Schema      string   `json:"schemaUrl"`
	Type        string   `json:"type"`
	IDKeys      []string `json:"idKeys"`
	Description []string `json:"descriptionKeys"`
}

type jsonScopeSpans struct {
	Scope *struct {
		Name       string         `json:"name"`
		Version    string         `json:"version"`
		Attributes []jsonKeyValue `json:"attributes"`
		Dropped    jsonInt        `json:"droppedAttributesCount"`
	} `json:"scope"`
	Spans     []jsonSpan `json:"spans"`
	SchemaURL string     `json:"schemaUrl"`
}

type jsonSpan struct {
	TraceID      jsonID         `json:"traceId"`
	SpanID       jsonID         `json:"spanId"`
	TraceState   string         `json:"traceState"`
	ParentSpanID jsonID         `json:"parentSpanId"`
	Name         string         `json:"name"`
	Kind         jsonInt        `json:"kind"`
	Start        jsonInt        `json:"startTimeUnixNano"`
	End          jsonInt        `json:"endTimeUnixNano"`
	Attributes   []jsonKeyValue `json:"attributes"`
	DroppedA     jsonInt        `json:"droppedAttributesCount"`
	Events       []jsonEvent    `json:"events"`
	DroppedE     jsonInt        `json:"droppedEventsCount"`
	Links        []jsonLink     `json:"links"`
	DroppedL     jsonInt        `json:"droppedLinksCount"`
	Status       *jsonStatus    `json:"status"`
	Flags        jsonInt        `json:"flags"`
}

type jsonEvent struct {
	Time       jsonInt        `json:"timeUnixNano"`
	Name       string         `json:"name"`
	Attributes []jsonKeyValue `json:"attributes"`
	Dropped    jsonInt        `json:"droppedAttributesCount"`
}

type jsonLink struct {
	TraceID    jsonID         `json:"traceId"`
	SpanID     jsonID         `json:"spanId"`
	TraceState string         `json:"traceState"`
	Attributes []jsonKeyValue `json:"attributes"`
	Dropped    jsonInt        `json:"droppedAttributesCount"`
	Flags      jsonInt        `json:"flags"`
}

type jsonStatus struct {
	Message string  `json:"message"`
	Code    jsonInt `json:"code"`
}

type jsonKeyValue struct {
	Key   string     `json:"key"`
	Value *jsonValue `json:"value"`
}

type jsonValue struct {
	String *string     `json:"stringValue"`
	Bool   *bool       `json:"boolValue"`
	Int    *jsonInt    `json:"intValue"`
	Double *jsonDouble `json:"doubleValue"`
	Array  *struct {
		Values []jsonValue `json:"values"`
	} `json:"arrayValue"`
	List *struct {
		Values []jsonKeyValue `json:"values"`
	} `json:"kvlistValue"`
	Bytes *jsonBytes `json:"bytesValue"`
}

// jsonInt is an integer as protobuf's JSON has it: a number, or its text in quotes; the name of an enum's value too.
type jsonInt uint64

// jsonEnums are the enum values' names, which OTLP forbids and some senders write.
var jsonEnums = map[string]jsonInt{
	"SPAN_KIND_UNSPECIFIED": jsonInt(KindUnspecified),
	"SPAN_KIND_INTERNAL":    jsonInt(KindInternal),
	"SPAN_KIND_SERVER":      jsonInt(KindServer),
	"SPAN_KIND_CLIENT":      jsonInt(KindClient),
	"SPAN_KIND_PRODUCER":    jsonInt(KindProducer),
	"SPAN_KIND_CONSUMER":    jsonInt(KindConsumer),
	"STATUS_CODE_UNSET":     jsonInt(StatusUnset),
	"STATUS_CODE_OK":        jsonInt(StatusOK),
	"STATUS_CODE_ERROR":     jsonInt(StatusError),
}

// UnmarshalJSON implements [json.Unmarshaler].
func (i *jsonInt) UnmarshalJSON(data []byte) error {
	s := string(bytes.Trim(data, `"`))
	if s == "null" {
		return nil
	}
	if u, err := strconv.ParseUint(s, 10, 64); err == nil {
		*i = jsonInt(u)
		return nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		*i = jsonInt(n)
		return nil
	}
	if e, ok := jsonEnums[s]; ok {
		*i = e
		return nil
	}
	// Protobuf's JSON allows integers with an exponent or a zero fraction.
	if f, err := strconv.ParseFloat(s, 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<63 {
		*i = jsonInt(int64(f))
		return nil
	}
	return fmt.Errorf("%.40q is not an integer", s)
}

// jsonDouble is a double as protobuf's JSON has it: a number, its text in quotes, "NaN" or an infinity.
type jsonDouble float64

// UnmarshalJSON implements [json.Unmarshaler].
func (d *jsonDouble) UnmarshalJSON(data []byte) error {
	s := string(bytes.Trim(data, `"`))
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return fmt.Errorf("%.40q is not a number", s)
	}
	*d = jsonDouble(f)
	return nil
}

// jsonID is a trace or span id. What cannot be read becomes one byte, which is an id of no kind.
type jsonID []byte

// UnmarshalJSON implements [json.Unmarshaler].
func (id *jsonID) UnmarshalJSON(data []byte) error {
	s := string(bytes.Trim(data, `"`))
	if s == "null" || s == "" {
		return nil
	}
	if b, err := hex.DecodeString(s); err == nil {
		*id = b
		return nil
	}
	if b, err := base64.StdEncoding.DecodeString(s); err == nil && (len(b) == len(TraceID{}) || len(b) == len(SpanID{})) {
		*id = b
		return nil
	}
	*id = []byte{0}
	return nil
}

// jsonBytes are bytes in base64, of either alphabet, padded or not.
type jsonBytes []byte

// UnmarshalJSON implements [json.Unmarshaler].
func (b *jsonBytes) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	encodings := []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding}
	for _, e := range encodings {
		if v, err := e.DecodeString(s); err == nil {
			*b = v
			return nil
		}
	}
	return fmt.Errorf("%.40q is not base64", s)
}

func (r *jsonRequest) appendTo(b []byte) []byte {
	for i := range r.ResourceSpans {
		b = appendMessage(b, requestResourceSpans, r.ResourceSpans[i].appendTo)
	}
	return b
}

func (r *jsonResourceSpans) appendTo(b []byte) []byte {
	if r.Resource != nil {
		b = appendMessage(b, resourceSpansResource, func(b []byte) []byte {
			b = appendKeyValues(b, resourceAttributes, r.Resource.Attributes, 0)
			b = appendInt(b, resourceDropped, r.Resource.Dropped)
			for i := range r.Resource.Entities {
				b = appendMessage(b, resourceEntities, r.Resource.Entities[i].appendTo)
			}
			return b
		})
	}
	for i := range r.ScopeSpans {
		b = appendMessage(b, resourceSpansScopes, r.ScopeSpans[i].appendTo)
	}
	return appendText(b, resourceSpansSchema, r.SchemaURL)
}

func (e *jsonEntity) appendTo(b []byte) []byte {
	b = appendText(b, entitySchema, e.Schema)
	b = appendText(b, entityType, e.Type)
	for _, key := range e.IDKeys {
		b = protowire.AppendString(protowire.AppendTag(b, entityIDKeys, protowire.BytesType), key)
	}
	for _, key := range e.Description {
		b = protowire.AppendString(protowire.AppendTag(b, entityDescription, protowire.BytesType), key)
	}
	return b
}

func (s *jsonScopeSpans) appendTo(b []byte) []byte {
	if s.Scope != nil {
		b = appendMessage(b, scopeSpansScope, func(b []byte) []byte {
			b = appendText(b, scopeName, s.Scope.Name)
			b = appendText(b, scopeVersion, s.Scope.Version)
			b = appendKeyValues(b, scopeAttributes, s.Scope.Attributes, 0)
			return appendInt(b, scopeDropped, s.Scope.Dropped)
		})
	}
	for i := range s.Spans {
		b = appendMessage(b, scopeSpansSpans, s.Spans[i].appendTo)
	}
	return appendText(b, scopeSpansSchema, s.SchemaURL)
}

func (s *jsonSpan) appendTo(b []byte) []byte {
	b = appendText(b, spanTraceID, text(s.TraceID))
	b = appendText(b, spanSpanID, text(s.SpanID))
	b = appendText(b, spanTraceState, s.TraceState)
	b = appendText(b, spanParentID, text(s.ParentSpanID))
	b = appendText(b, spanName, s.Name)
	b = appendInt(b, spanKind, s.Kind)
	b = appendFixed64(b, spanStart, s.Start)
	b = appendFixed64(b, spanEnd, s.End)
	b = appendKeyValues(b, spanAttributes, s.Attributes, 0)
	b = appendInt(b, spanDroppedA, s.DroppedA)
	for _, e := range s.Events {
		b = appendMessage(b, spanEvents, func(b []byte) []byte {
			b = appendFixed64(b, eventTime, e.Time)
			b = appendText(b, eventName, e.Name)
			b = appendKeyValues(b, eventAttributes, e.Attributes, 0)
			return appendInt(b, eventDropped, e.Dropped)
		})
	}
	b = appendInt(b, spanDroppedE, s.DroppedE)
	for _, l := range s.Links {
		b = appendMessage(b, spanLinks, func(b []byte) []byte {
			b = appendText(b, linkTraceID, text(l.TraceID))
			b = appendText(b, linkSpanID, text(l.SpanID))
			b = appendText(b, linkTraceState, l.TraceState)
			b = appendKeyValues(b, linkAttributes, l.Attributes, 0)
			b = appendInt(b, linkDropped, l.Dropped)
			return appendFixed32(b, linkFlags, l.Flags)
		})
	}
	b = appendInt(b, spanDroppedL, s.DroppedL)
	if s.Status != nil {
		b = appendMessage(b, spanStatus, func(b []byte) []byte {
			b = appendText(b, statusMessage, s.Status.Message)
			return appendInt(b, statusCode, s.Status.Code)
		})
	}
	return appendFixed32(b, spanFlags, s.Flags)
}

func appendKeyValues(b []byte, num protowire.Number, attributes []jsonKeyValue, depth int) []byte {
	for i := range attributes {
		a := &attributes[i]
		b = appendMessage(b, num, func(b []byte) []byte {
			b = appendText(b, keyValueKey, a.Key)
			if a.Value == nil {
				return b
			}
			return appendMessage(b, keyValueValue, func(b []byte) []byte { return a.Value.appendTo(b, depth) })
		})
	}
	return b
}

// appendTo stops just below maxNesting, which is deep enough for Scan to see that the span nests too deep.
func (v *jsonValue) appendTo(b []byte, depth int) []byte {
	switch {
	case depth > maxNesting:
	case v.String != nil:
		b = protowire.AppendTag(b, valueString, protowire.BytesType)
		b = protowire.AppendString(b, *v.String)
	case v.Bool != nil:
		b = protowire.AppendTag(b, valueBool, protowire.VarintType)
		b = protowire.AppendVarint(b, protowire.EncodeBool(*v.Bool))
	case v.Int != nil:
		b = protowire.AppendTag(b, valueInt, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(*v.Int))
	case v.Double != nil:
		b = protowire.AppendTag(b, valueDouble, protowire.Fixed64Type)
		b = protowire.AppendFixed64(b, math.Float64bits(float64(*v.Double)))
	case v.Array != nil:
		b = appendMessage(b, valueArray, func(b []byte) []byte {
			for i := range v.Array.Values {
				b = appendMessage(b, listValues, func(b []byte) []byte { return v.Array.Values[i].appendTo(b, depth+1) })
			}
			return b
		})
	case v.List != nil:
		b = appendMessage(b, valueList, func(b []byte) []byte { return appendKeyValues(b, listValues, v.List.Values, depth+1) })
	case v.Bytes != nil:
		b = protowire.AppendTag(b, valueBytes, protowire.BytesType)
		b = protowire.AppendBytes(b, *v.Bytes)
	}
	return b
}

// appendMessage appends field num with the content that inner appends. The content is written in place and moved by the few
// bytes that its length takes.
func appendMessage(b []byte, num protowire.Number, inner func([]byte) []byte) []byte {
	b = protowire.AppendTag(b, num, protowire.BytesType)
	start := len(b)
	b = inner(b)
	var size [10]byte
	return slices.Insert(b, start, protowire.AppendVarint(size[:0], uint64(len(b)-start))...)
}

func appendText(b []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

func appendInt(b []byte, num protowire.Number, i jsonInt) []byte {
	if i == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(i))
}

func appendFixed64(b []byte, num protowire.Number, i jsonInt) []byte {
	if i == 0 {
		return b
	}
	return protowire.AppendFixed64(protowire.AppendTag(b, num, protowire.Fixed64Type), uint64(i))
}

func appendFixed32(b []byte, num protowire.Number, i jsonInt) []byte {
	if i == 0 {
		return b
	}
	return protowire.AppendFixed32(protowire.AppendTag(b, num, protowire.Fixed32Type), uint32(i))
}
