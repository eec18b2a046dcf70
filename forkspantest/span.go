package forkspantest

import (
	"encoding/hex"
	"fmt"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Span is a span as it came over the wire, with the resource and the scope it came under.
type Span struct {
	*tracepb.Span
	Resource *resourcepb.Resource
	Scope    *commonpb.InstrumentationScope
}

// Attribute returns the value of the span's attribute key, and whether it is there: a string, bool, int64, float64, []byte,
// []any, map[string]any, or nil for an empty value.
func (s Span) Attribute(key string) (any, bool) { return lookup(s.GetAttributes(), key) }

// ResourceAttribute returns the value of the resource's attribute key as [Span.Attribute] does.
func (s Span) ResourceAttribute(key string) (any, bool) {
	return lookup(s.Resource.GetAttributes(), key)
}

func lookup(attributes []*commonpb.KeyValue, key string) (any, bool) {
	for _, kv := range attributes {
		if kv.GetKey() == key {
			return plain(kv.GetValue()), true
		}
	}
	return nil, false
}

func plain(v *commonpb.AnyValue) any {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return v.StringValue
	case *commonpb.AnyValue_BoolValue:
		return v.BoolValue
	case *commonpb.AnyValue_IntValue:
		return v.IntValue
	case *commonpb.AnyValue_DoubleValue:
		return v.DoubleValue
	case *commonpb.AnyValue_BytesValue:
		return v.BytesValue
	case *commonpb.AnyValue_ArrayValue:
		values := make([]any, 0, len(v.ArrayValue.GetValues()))
		for _, e := range v.ArrayValue.GetValues() {
			values = append(values, plain(e))
		}
		return values
	case *commonpb.AnyValue_KvlistValue:
		values := make(map[string]any, len(v.KvlistValue.GetValues()))
		for _, kv := range v.KvlistValue.GetValues() {
			values[kv.GetKey()] = plain(kv.GetValue())
		}
		return values
	}
	return nil
}

// spansOf lists the spans of a request in wire order.
func spansOf(data *tracepb.TracesData) []Span {
	var spans []Span
	for _, rs := range data.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				spans = append(spans, Span{Span: s, Resource: rs.GetResource(), Scope: ss.GetScope()})
			}
		}
	}
	return spans
}

func (s Span) node() *node {
	failed := s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR
	return &node{
		trace:   hex.EncodeToString(s.GetTraceId()),
		id:      hex.EncodeToString(s.GetSpanId()),
		parent:  hex.EncodeToString(s.GetParentSpanId()),
		process: s.Resource.String(),
		name:    s.GetName(),
		start:   int64(s.GetStartTimeUnixNano()),
		marks: describe(strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_"), s.GetEndTimeUnixNano() == 0,
			failed, s.GetStatus().GetMessage()),
		attribute: func(key string) (string, bool) {
			value, ok := s.Attribute(key)
			if !ok {
				value, ok = s.ResourceAttribute(key)
			}
			return fmt.Sprint(value), ok
		},
	}
}
