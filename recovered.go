package forkspan

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// recoveredSpan is a span in OTLP's form as exporters take it.
type recoveredSpan struct {
	sdktrace.ReadOnlySpan // nil: the interface is sealed, and all its methods are below
	span                  *tracepb.Span
	resource              *resource.Resource
	scope                 instrumentation.Scope
}

// recoveredSpans makes spans of a request.
func recoveredSpans(data *tracepb.TracesData) (spans []sdktrace.ReadOnlySpan) {
	for _, rs := range data.GetResourceSpans() {
		from := resource.NewWithAttributes(rs.GetSchemaUrl(), attributesOf(rs.GetResource().GetAttributes())...)
		for _, ss := range rs.GetScopeSpans() {
			scope := instrumentation.Scope{
				Name:       ss.GetScope().GetName(),
				Version:    ss.GetScope().GetVersion(),
				SchemaURL:  ss.GetSchemaUrl(),
				Attributes: attribute.NewSet(attributesOf(ss.GetScope().GetAttributes())...),
			}
			for _, s := range ss.GetSpans() {
				spans = append(spans, &recoveredSpan{span: s, resource: from, scope: scope})
			}
		}
	}
	return spans
}

// interrupt ends a span that had not ended.
func (s *recoveredSpan) interrupt(at time.Time) {
	s.span.EndTimeUnixNano = max(s.span.StartTimeUnixNano, uint64(max(0, at.UnixNano())))
	s.span.Status = &tracepb.Status{
		Code:    tracepb.Status_STATUS_CODE_ERROR,
		Message: "the process died before the span ended",
	}
	s.span.Attributes = append(s.span.Attributes, &commonpb.KeyValue{
		Key:   "forkspan.unfinished",
		Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}},
	})
}

// Name returns the span's name.
func (s *recoveredSpan) Name() string { return s.span.GetName() }

// SpanContext returns what identifies the span.
func (s *recoveredSpan) SpanContext() trace.SpanContext {
	state, _ := trace.ParseTraceState(s.span.GetTraceState())
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID:    traceID(s.span.GetTraceId()),
		SpanID:     spanID(s.span.GetSpanId()),
		TraceFlags: trace.TraceFlags(s.span.GetFlags()),
		TraceState: state,
	})
}

// Parent returns what identifies the parent; it is not valid for a root.
func (s *recoveredSpan) Parent() trace.SpanContext {
	id := spanID(s.span.GetParentSpanId())
	if !id.IsValid() {
		return trace.SpanContext{}
	}
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: traceID(s.span.GetTraceId()),
		SpanID:  id,
		Remote:  isRemote(s.span.GetFlags()),
	})
}

// SpanKind returns the kind, whose numbers are OTLP's.
func (s *recoveredSpan) SpanKind() trace.SpanKind { return trace.SpanKind(s.span.GetKind()) }

// StartTime returns when the span started.
func (s *recoveredSpan) StartTime() time.Time { return unixTime(s.span.GetStartTimeUnixNano()) }

// EndTime returns when the span ended.
func (s *recoveredSpan) EndTime() time.Time { return unixTime(s.span.GetEndTimeUnixNano()) }

// Attributes returns the attributes.
func (s *recoveredSpan) Attributes() []attribute.KeyValue {
	return attributesOf(s.span.GetAttributes())
}

// Links returns the links.
func (s *recoveredSpan) Links() (links []sdktrace.Link) {
	for _, l := range s.span.GetLinks() {
		state, _ := trace.ParseTraceState(l.GetTraceState())
		links = append(links, sdktrace.Link{
			SpanContext: trace.NewSpanContext(trace.SpanContextConfig{
				TraceID:    traceID(l.GetTraceId()),
				SpanID:     spanID(l.GetSpanId()),
				TraceFlags: trace.TraceFlags(l.GetFlags()),
				TraceState: state,
				Remote:     isRemote(l.GetFlags()),
			}),
			Attributes:            attributesOf(l.GetAttributes()),
			DroppedAttributeCount: int(l.GetDroppedAttributesCount()),
		})
	}
	return links
}

// Events returns the events.
func (s *recoveredSpan) Events() (events []sdktrace.Event) {
	for _, e := range s.span.GetEvents() {
		events = append(events, sdktrace.Event{
			Name:                  e.GetName(),
			Time:                  unixTime(e.GetTimeUnixNano()),
			Attributes:            attributesOf(e.GetAttributes()),
			DroppedAttributeCount: int(e.GetDroppedAttributesCount()),
		})
	}
	return events
}

// Status returns the status.
func (s *recoveredSpan) Status() sdktrace.Status {
	status := sdktrace.Status{Description: s.span.GetStatus().GetMessage()}
	switch s.span.GetStatus().GetCode() {
	case tracepb.Status_STATUS_CODE_OK:
		status.Code = codes.Ok
	case tracepb.Status_STATUS_CODE_ERROR:
		status.Code = codes.Error
	}
	return status
}

// InstrumentationScope returns the scope.
func (s *recoveredSpan) InstrumentationScope() instrumentation.Scope { return s.scope }

// InstrumentationLibrary returns the scope.
func (s *recoveredSpan) InstrumentationLibrary() instrumentation.Scope { return s.scope }

// Resource returns the resource of the process that recorded the span.
func (s *recoveredSpan) Resource() *resource.Resource { return s.resource }

// DroppedAttributes returns the number of attributes over the limit.
func (s *recoveredSpan) DroppedAttributes() int { return int(s.span.GetDroppedAttributesCount()) }

// DroppedLinks returns the number of links over the limit.
func (s *recoveredSpan) DroppedLinks() int { return int(s.span.GetDroppedLinksCount()) }

// DroppedEvents returns the number of events over the limit.
func (s *recoveredSpan) DroppedEvents() int { return int(s.span.GetDroppedEventsCount()) }

// ChildSpanCount is not known.
func (s *recoveredSpan) ChildSpanCount() int { return 0 }

func traceID(b []byte) (id trace.TraceID) {
	copy(id[:], b)
	return id
}

func spanID(b []byte) (id trace.SpanID) {
	copy(id[:], b)
	return id
}

func isRemote(flags uint32) bool {
	return flags&uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK) != 0
}

func unixTime(n uint64) time.Time { return time.Unix(0, int64(n)) }

func attributesOf(list []*commonpb.KeyValue) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, len(list))
	for _, kv := range list {
		attrs = append(attrs, attribute.KeyValue{Key: attribute.Key(kv.GetKey()), Value: valueOf(kv.GetValue())})
	}
	return attrs
}

func valueOf(v *commonpb.AnyValue) attribute.Value {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return attribute.StringValue(v.StringValue)
	case *commonpb.AnyValue_BoolValue:
		return attribute.BoolValue(v.BoolValue)
	case *commonpb.AnyValue_IntValue:
		return attribute.Int64Value(v.IntValue)
	case *commonpb.AnyValue_DoubleValue:
		return attribute.Float64Value(v.DoubleValue)
	case *commonpb.AnyValue_BytesValue:
		return attribute.ByteSliceValue(v.BytesValue)
	case *commonpb.AnyValue_KvlistValue:
		return attribute.MapValue(attributesOf(v.KvlistValue.GetValues())...)
	case *commonpb.AnyValue_ArrayValue:
		values := make([]attribute.Value, 0, len(v.ArrayValue.GetValues()))
		for _, e := range v.ArrayValue.GetValues() {
			values = append(values, valueOf(e))
		}
		return sliceOf(values)
	}
	return attribute.Value{}
}

// sliceOf makes a slice of values: of their type where all have the same.
func sliceOf(values []attribute.Value) attribute.Value {
	for _, v := range values {
		if v.Type() != values[0].Type() {
			return attribute.SliceValue(values...)
		}
	}
	if len(values) == 0 {
		return attribute.SliceValue()
	}
	switch values[0].Type() {
	case attribute.STRING:
		return attribute.StringSliceValue(each(values, attribute.Value.AsString))
	case attribute.BOOL:
		return attribute.BoolSliceValue(each(values, attribute.Value.AsBool))
	case attribute.INT64:
		return attribute.Int64SliceValue(each(values, attribute.Value.AsInt64))
	case attribute.FLOAT64:
		return attribute.Float64SliceValue(each(values, attribute.Value.AsFloat64))
	}
	return attribute.SliceValue(values...)
}

func each[T any](values []attribute.Value, as func(attribute.Value) T) []T {
	list := make([]T, 0, len(values))
	for _, v := range values {
		list = append(list, as(v))
	}
	return list
}
