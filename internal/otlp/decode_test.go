package otlp_test

import (
	"bytes"
	"math"
	"reflect"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"forkspan.dev/forkspan/internal/otlp"
)

// fieldsOf is the oracle for attributes.
func fieldsOf(attributes []*commonpb.KeyValue) (fields []otlp.Field) {
	for _, a := range attributes {
		fields = append(fields, otlp.Field{Key: a.Key, Value: valueOf(a.Value)})
	}
	return fields
}

func valueOf(v *commonpb.AnyValue) any {
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
		list := []any{}
		for _, e := range v.ArrayValue.GetValues() {
			list = append(list, valueOf(e))
		}
		return list
	case *commonpb.AnyValue_KvlistValue:
		return append([]otlp.Field{}, fieldsOf(v.KvlistValue.GetValues())...)
	}
	return nil
}

// compareDecoded compares Decode with another implementation's reading of the same bytes.
func compareDecoded(t *testing.T, body []byte, want *tracepb.TracesData) {
	t.Helper()
	spans, err := otlp.Decode(body)
	if err != nil {
		t.Fatalf("Decode: %v", err)
	}
	wanted := allSpans(want)
	if len(spans) != len(wanted) {
		t.Fatalf("decoded %d spans, want %d", len(spans), len(wanted))
	}
	for i := range spans {
		got, want := &spans[i], wanted[i]
		if !bytes.Equal(got.TraceID[:], want.TraceId) || !bytes.Equal(got.SpanID[:], want.SpanId) ||
			!bytes.Equal(bytes.Trim(got.ParentID[:], "\x00"), bytes.Trim(want.ParentSpanId, "\x00")) ||
			got.Name != want.Name || got.Flags != want.Flags || got.Message != want.Status.GetMessage() ||
			uint64(got.Start) != min(want.StartTimeUnixNano, math.MaxInt64) ||
			uint64(got.End) != min(want.EndTimeUnixNano, math.MaxInt64) {
			t.Fatalf("span %d: got %+v, want %+v", i, got, want)
		}
		if k := want.Kind; k >= 0 && k <= 5 && got.Kind != otlp.Kind(k) {
			t.Fatalf("span %d: kind %d, want %d", i, got.Kind, k)
		}
		if c := want.Status.GetCode(); c >= 0 && c <= 2 && got.Status != otlp.StatusCode(c) {
			t.Fatalf("span %d: status %d, want %d", i, got.Status, c)
		}
		if attrs := fieldsOf(want.Attributes); !sameFields(got.Attributes(), attrs) {
			t.Fatalf("span %d: attributes %+v, want %+v", i, got.Attributes(), attrs)
		}
		events, links := got.Events(), got.Links()
		if len(events) != len(want.Events) || len(links) != len(want.Links) {
			t.Fatalf("span %d: %d events, %d links", i, len(events), len(links))
		}
		for n, e := range want.Events {
			if events[n].Name != e.Name || !sameFields(events[n].Attributes, fieldsOf(e.Attributes)) {
				t.Fatalf("span %d: event %+v, want %+v", i, events[n], e)
			}
		}
		for n, l := range want.Links {
			wrongID := len(l.TraceId) == 16 && !bytes.Equal(links[n].TraceID[:], l.TraceId)
			if wrongID || !sameFields(links[n].Attributes, fieldsOf(l.Attributes)) {
				t.Fatalf("span %d: link %+v, want %+v", i, links[n], l)
			}
		}
	}
}

// sameFields compares attributes; NaN equals NaN.
func sameFields(a, b []otlp.Field) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Key != b[i].Key || !sameValue(a[i].Value, b[i].Value) {
			return false
		}
	}
	return true
}

func sameValue(a, b any) bool {
	switch a := a.(type) {
	case float64:
		b, ok := b.(float64)
		return ok && math.Float64bits(a) == math.Float64bits(b)
	case []byte:
		b, ok := b.([]byte)
		return ok && bytes.Equal(a, b)
	case []otlp.Field:
		b, ok := b.([]otlp.Field)
		return ok && sameFields(a, b)
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !sameValue(a[i], b[i]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}

func TestDecode(t *testing.T) {
	everything := []*commonpb.KeyValue{
		attribute("string", stringValue("text")),
		attribute("bool", &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}),
		attribute("int", &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: -5}}),
		attribute("double", &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 2.5}}),
		attribute("bytes", &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte{0, 255}}}),
		attribute("nested", nested(3)),
		attribute("empty", &commonpb.AnyValue{}),
		attribute("none", nil),
	}
	r := resourceSpans(everything, &tracepb.Span{
		TraceId: traceA, SpanId: span1, ParentSpanId: span2, Name: "all", Flags: 0x103, Kind: tracepb.Span_SPAN_KIND_SERVER,
		StartTimeUnixNano: 10, EndTimeUnixNano: 20, Attributes: everything,
		Events: []*tracepb.Span_Event{{TimeUnixNano: 15, Name: "exception", Attributes: everything}, {}},
		Links:  []*tracepb.Span_Link{{TraceId: traceB, SpanId: span2, Attributes: everything}, {}},
		Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "failed"},
	}, &tracepb.Span{TraceId: traceB, SpanId: span2})
	r.ScopeSpans[0].Scope = &commonpb.InstrumentationScope{Name: "vllm.worker", Version: "1"}
	data := &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{r}}
	body := marshal(t, r)
	compareDecoded(t, body, data)
	spans, err := otlp.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	first, second := &spans[0], &spans[1]
	scope := otlp.Scope{Name: "vllm.worker", Version: "1"}
	if first.Process != second.Process || first.Scope != second.Scope || *first.Scope != scope {
		t.Errorf("process %p, %p; scope %+v, %+v", first.Process, second.Process, first.Scope, second.Scope)
	}
	if !sameFields(first.Process.Attributes, fieldsOf(everything)) {
		t.Errorf("resource %+v", first.Process.Attributes)
	}
	if v, ok := first.Attribute("int"); !ok || v != int64(-5) {
		t.Errorf("attribute int: %v, %v", v, ok)
	}
	if v, ok := first.Attribute("empty"); !ok || v != nil {
		t.Errorf("attribute empty: %v, %v", v, ok)
	}
	if v, ok := first.Attribute("missing"); ok || v != nil {
		t.Errorf("attribute missing: %v, %v", v, ok)
	}
	if first.Events()[0].Time != 15 || first.Links()[0].SpanID != otlp.SpanID(span2) {
		t.Errorf("events %+v, links %+v", first.Events(), first.Links())
	}
}

func TestDecodeRefusesBrokenWire(t *testing.T) {
	body := marshal(t, resourceSpans(nil, &tracepb.Span{TraceId: traceA, SpanId: span1, Name: "name"}))
	for n := 1; n < len(body); n++ {
		if spans, err := otlp.Decode(body[:n]); err == nil {
			t.Errorf("the first %d bytes decode into %d spans", n, len(spans))
		}
	}
}

// large returns the captured spans often enough to make a request of at least spans spans.
func large(b *testing.B, spans int) []byte {
	var body []byte
	for n := 0; n < spans; {
		for _, requests := range captures(b) {
			for _, request := range requests {
				one, err := otlp.FromJSON(request)
				if err != nil {
					b.Fatal(err)
				}
				_, sum, _, _, _ := otlp.Scan(one)
				n += sum.Spans
				body = append(body, one...) // concatenated messages are merged
			}
		}
	}
	return body
}

func BenchmarkScan(b *testing.B) {
	body := large(b, 512)
	_, sum, _, _, _ := otlp.Scan(body)
	b.ReportAllocs()
	for b.Loop() {
		_, _, _, _, _ = otlp.Scan(body)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*sum.Spans), "ns/span")
}

func BenchmarkDecode(b *testing.B) {
	body := large(b, 512)
	spans, _ := otlp.Decode(body)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = otlp.Decode(body)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(spans)), "ns/span")
}
