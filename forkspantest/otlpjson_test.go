package forkspantest

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Each message that protobuf holds is written as OTLP JSON, by way of protobuf's own JSON and the places where ids are, and
// must be read as the same message.
func FuzzUnmarshalJSON(f *testing.F) {
	// A user's attributes may have the names of ids.
	attributes := []*commonpb.KeyValue{
		{Key: "traceId", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte("bytes")}}},
		{Key: "spanId", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{
			Values: []*commonpb.KeyValue{{Key: "parentSpanId"}},
		}}}},
	}
	seed, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{
			TraceId: make([]byte, 16), SpanId: []byte{1, 2, 3, 4, 5, 6, 7, 8}, ParentSpanId: []byte{9},
			Name: "GET", Kind: tracepb.Span_SPAN_KIND_SERVER, StartTimeUnixNano: 1 << 63, Attributes: attributes,
			Links: []*tracepb.Span_Link{{TraceId: []byte{1}, SpanId: []byte{2}}},
		}}}},
	}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		want := &tracepb.TracesData{}
		if (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, want) != nil {
			return
		}
		text, err := protojson.Marshal(want)
		if err != nil {
			return
		}
		text = hexIDs(t, text)
		got := &tracepb.TracesData{}
		if err := unmarshalJSON(text, got); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if !proto.Equal(got, want) {
			t.Errorf("%s\nread as %v\nwant %v", text, got, want)
		}
	})
}

// hexIDs rewrites the ids of the spans and links in protobuf's JSON of a TracesData.
func hexIDs(t *testing.T, text []byte) []byte {
	var document map[string]any
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	convert := func(v any) {
		fields := v.(map[string]any)
		for _, key := range []string{"traceId", "spanId", "parentSpanId"} {
			if id, ok := fields[key].(string); ok {
				raw, err := base64.StdEncoding.DecodeString(id)
				if err != nil {
					t.Fatal(err)
				}
				fields[key] = hex.EncodeToString(raw)
			}
		}
	}
	list := func(v any, key string) []any {
		values, _ := v.(map[string]any)[key].([]any)
		return values
	}
	for _, rs := range list(document, "resourceSpans") {
		for _, ss := range list(rs, "scopeSpans") {
			for _, span := range list(ss, "spans") {
				convert(span)
				for _, link := range list(span, "links") {
					convert(link)
				}
			}
		}
	}
	converted, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return converted
}

// What is no OTLP JSON is an error, never a panic.
func FuzzUnmarshalJSONGarbage(f *testing.F) {
	for _, seed := range []string{"", "{}", "[]", "{} {}", `{"resourceSpans":[{"scopeSpans":[{"spans":[{"spanId":"xx"}]}]}]}`, `{"resourceSpans":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		first, second := &tracepb.TracesData{}, &tracepb.TracesData{}
		if unmarshalJSON(data, first) != nil {
			return
		}
		wire, err := proto.Marshal(first)
		if err != nil {
			t.Fatalf("%q was read but cannot be written: %v", data, err)
		}
		if err := proto.Unmarshal(wire, second); err != nil || !proto.Equal(first, second) {
			t.Errorf("%q does not survive a round trip: %v", data, err)
		}
	})
}
