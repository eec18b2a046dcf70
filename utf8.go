package forkspan

import (
	"strings"
	"unicode/utf8"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// repairText replaces bytes that are not UTF-8 in all texts of an export. Protobuf refuses a message with a single one of
// them, so that one span with a foreign file name would cost all the others of its batch.
func repairText(spans []*tracepb.ResourceSpans) {
	for _, rs := range spans {
		repair(&rs.SchemaUrl)
		repairAttributes(rs.GetResource().GetAttributes())
		for _, ss := range rs.ScopeSpans {
			repair(&ss.SchemaUrl)
			if scope := ss.Scope; scope != nil {
				repair(&scope.Name)
				repair(&scope.Version)
				repairAttributes(scope.Attributes)
			}
			for _, s := range ss.Spans {
				repairSpan(s)
			}
		}
	}
}

func repairSpan(s *tracepb.Span) {
	repair(&s.Name)
	repair(&s.TraceState)
	repairAttributes(s.Attributes)
	for _, e := range s.Events {
		repair(&e.Name)
		repairAttributes(e.Attributes)
	}
	for _, l := range s.Links {
		repair(&l.TraceState)
		repairAttributes(l.Attributes)
	}
	if s.Status != nil {
		repair(&s.Status.Message)
	}
}

func repairAttributes(attrs []*commonpb.KeyValue) {
	for _, kv := range attrs {
		repair(&kv.Key)
		repairValue(kv.Value)
	}
}

func repairValue(v *commonpb.AnyValue) {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		repair(&v.StringValue)
	case *commonpb.AnyValue_ArrayValue:
		for _, element := range v.ArrayValue.GetValues() {
			repairValue(element)
		}
	case *commonpb.AnyValue_KvlistValue:
		repairAttributes(v.KvlistValue.GetValues())
	}
}

func repair(s *string) {
	if !utf8.ValidString(*s) {
		*s = strings.ToValidUTF8(*s, "\ufffd")
	}
}
