package forward

import (
	"encoding/hex"
	"errors"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"forkspan.dev/forkspan/internal/otlp"
)

// Attributes that keep what a span had when it was recorded.
const (
	originalSpanID  = "forkspan.original.span_id"
	originalTraceID = "forkspan.original.trace_id"
)

var errCount = errors.New("the number of spans differs")

// apply makes the changes, one for each span in wire order, nil for none, and returns the number of spans that are left.
func apply(body []byte, changes []*change) (changed []byte, left int, err error) {
	var data tracepb.TracesData
	if err := proto.Unmarshal(body, &data); err != nil {
		return nil, 0, err
	}
	at := 0
	for _, rs := range data.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			kept := ss.Spans[:0]
			for _, s := range ss.GetSpans() {
				if at == len(changes) {
					return nil, 0, errCount
				}
				c := changes[at]
				at++
				if c != nil && c.drop {
					continue
				}
				if c != nil {
					c.apply(s)
				}
				kept = append(kept, s)
			}
			ss.Spans = kept
			left += len(kept)
		}
	}
	if at != len(changes) {
		return nil, 0, errCount
	}
	changed, err = proto.Marshal(&data)
	return changed, left, err
}

func (c *change) apply(s *tracepb.Span) {
	for _, link := range s.GetLinks() {
		if len(link.GetTraceId()) != len(otlp.TraceID{}) || len(link.GetSpanId()) != len(otlp.SpanID{}) {
			continue
		}
		if to, ok := c.links[spanRef{otlp.TraceID(link.GetTraceId()), otlp.SpanID(link.GetSpanId())}]; ok {
			link.TraceId, link.SpanId = to.trace[:], to.span[:]
		}
	}
	if c.root {
		s.Links = append(s.Links, &tracepb.Span_Link{TraceId: s.GetTraceId(), SpanId: s.GetParentSpanId()})
		s.ParentSpanId = nil
		s.Flags &^= uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
	} else if c.parent != (otlp.SpanID{}) {
		s.ParentSpanId = c.parent[:]
	}
	if c.span != (otlp.SpanID{}) {
		s.Attributes = append(s.Attributes, text(originalSpanID, hex.EncodeToString(s.GetSpanId())))
		s.SpanId = c.span[:]
	}
	if c.trace != (otlp.TraceID{}) {
		s.Attributes = append(s.Attributes, text(originalTraceID, hex.EncodeToString(s.GetTraceId())))
		s.TraceId = c.trace[:]
	}
}

func text(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{
		Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}},
	}
}
