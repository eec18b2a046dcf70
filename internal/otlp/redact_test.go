package otlp_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/redact"
)

const (
	seed  = "sk-proj-aB3dEf7hIjK9mNoP5rStU1wX" // told by its shape
	named = "hunter2 and more"                 // told by the name before it
)

func list(values ...*commonpb.AnyValue) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: values}}}
}

func kvlist(values ...*commonpb.KeyValue) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: values}}}
}

// secretAttributes have a secret in every form of value.
func secretAttributes() []*commonpb.KeyValue {
	raw := func(s string) *commonpb.AnyValue {
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte(s)}}
	}
	number := &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: 17}}
	return []*commonpb.KeyValue{
		attribute("text", stringValue("key "+seed)), attribute("http.request.header.authorization", stringValue(named)),
		attribute("header.cookie", list(stringValue(named), kvlist(attribute("x", stringValue(named))))),
		attribute("nested", kvlist(attribute("a", list(list(stringValue(seed)))), attribute("password", stringValue(named)))),
		attribute("argv", list(stringValue("--password"), number, stringValue(named), stringValue("-v"))),
		attribute("bytes", raw("\xff "+seed)), attribute("api_key", raw(named)),
		attribute(seed, number), attribute("max_tokens", number), attribute("api_key", number), {Key: "empty"},
		attribute("time_to_first_token", stringValue("0.25")), attribute("secret", stringValue("")),
	}
}

func secretRequest(t testing.TB) []byte {
	span := &tracepb.Span{
		TraceId: traceA, SpanId: span1, Name: "step " + seed, TraceState: "a=" + seed, StartTimeUnixNano: 5, EndTimeUnixNano: 6,
		Attributes: secretAttributes(), Status: &tracepb.Status{Code: 2, Message: "failed: password=" + named[:7]},
		Events: []*tracepb.Span_Event{{TimeUnixNano: 7, Name: seed, Attributes: secretAttributes()}},
		Links:  []*tracepb.Span_Link{{TraceId: traceA, SpanId: span1, TraceState: "b=" + seed, Attributes: secretAttributes()}},
	}
	return marshal(t, &tracepb.ResourceSpans{
		Resource: &resourcepb.Resource{Attributes: secretAttributes(), DroppedAttributesCount: 3}, SchemaUrl: "http://u:" + seed + "@h/",
		ScopeSpans: []*tracepb.ScopeSpans{{
			Scope: &commonpb.InstrumentationScope{Name: seed, Version: seed, Attributes: secretAttributes()},
			Spans: []*tracepb.Span{span, {TraceId: traceA, SpanId: span1, Name: "clean"}}, SchemaUrl: seed,
		}},
	})
}

func TestRedact(t *testing.T) {
	body := secretRequest(t)
	// A field of a later version of OTLP, which may hold anything.
	later := protowire.AppendString(protowire.AppendTag(bytes.Clone(body), 77, protowire.BytesType), "x "+seed)
	_, sum, _, _, err := otlp.Scan(later)
	if err != nil {
		t.Fatal(err)
	}
	sum.Traces[0].Root = "stale"
	clean, after := otlp.Redact(later, sum)
	for _, secret := range []string{seed, named, named[:7]} {
		if i := bytes.Index(clean, []byte(secret)); i >= 0 {
			t.Errorf("%q is left: %q", secret, clean[max(0, i-60):i+20])
		}
	}
	if after.Spans != 2 || !strings.HasPrefix(after.Traces[0].Root, "step [redacted]") {
		t.Errorf("summary %+v", after)
	}
	checkRedacted(t, body)
	again, _ := otlp.Redact(clean, after)
	if !bytes.Equal(again, clean) {
		t.Error("redacted twice it is another")
	}
}

// What holds no secret is passed on as it is, not even copied.
func TestRedactLeavesAlone(t *testing.T) {
	for name, requests := range captures(t) {
		for _, request := range requests {
			body, err := otlp.FromJSON(request)
			if err != nil {
				t.Fatal(err)
			}
			_, sum, _, _, _ := otlp.Scan(body)
			got, after := otlp.Redact(body, sum)
			if &got[0] != &body[0] || after.Spans != sum.Spans {
				t.Errorf("%s: a request was changed", name)
			}
		}
	}
}

func FuzzRedact(f *testing.F) {
	f.Add(secretRequest(f))
	for _, body := range seeds(f) {
		f.Add(body)
	}
	f.Fuzz(checkRedacted)
}

// TestRedactMutations goes through many slightly broken requests, the same in each run.
func TestRedactMutations(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	all := append(seeds(t), secretRequest(t))
	for range 2_000 {
		checkRedacted(t, mutate(r, all[len(all)-1-r.IntN(2)*r.IntN(len(all))]))
	}
}

// checkRedacted compares a request with what becomes of it: the same structure, texts that differ only by what redact hides, and
// every number and id the same.
func checkRedacted(t *testing.T, body []byte) {
	t.Helper()
	clean, sum, _, _, err := otlp.Scan(body)
	if err != nil {
		return
	}
	before := bytes.Clone(clean)
	got, after := otlp.Redact(clean, sum)
	if !bytes.Equal(before, clean) {
		t.Fatal("the request itself was changed")
	}
	if after.Spans != sum.Spans || len(after.Traces) != len(sum.Traces) {
		t.Fatalf("summary %+v became %+v", sum, after)
	}
	discard := proto.UnmarshalOptions{DiscardUnknown: true}
	var was, is tracepb.TracesData
	if err := discard.Unmarshal(clean, &was); err != nil {
		t.Fatal(err)
	}
	if err := discard.Unmarshal(got, &is); err != nil {
		t.Fatalf("%v: %x", err, got)
	}
	sameStructure(t, was.ProtoReflect(), is.ProtoReflect())
}

func sameStructure(t *testing.T, was, is protoreflect.Message) {
	t.Helper()
	was.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		w := is.Get(field)
		if !is.Has(field) {
			t.Fatalf("%s is gone", field.FullName())
		}
		if !field.IsList() {
			sameOrHidden(t, field, v, w)
			return true
		}
		if v.List().Len() != w.List().Len() {
			t.Fatalf("%s has %d items, not %d", field.FullName(), w.List().Len(), v.List().Len())
		}
		for i := range v.List().Len() {
			sameOrHidden(t, field, v.List().Get(i), w.List().Get(i))
		}
		return true
	})
}

func sameOrHidden(t *testing.T, field protoreflect.FieldDescriptor, v, w protoreflect.Value) {
	t.Helper()
	switch {
	case field.Kind() == protoreflect.MessageKind:
		sameStructure(t, v.Message(), w.Message())
	case v.Equal(w):
	case field.Kind() == protoreflect.StringKind && strings.Contains(w.String(), redact.Mark):
	case field.FullName() == "opentelemetry.proto.common.v1.AnyValue.bytes_value" && bytes.Contains(w.Bytes(), []byte(redact.Mark)):
	default:
		t.Fatalf("%s: %v became %v", field.FullName(), v, w)
	}
}

func BenchmarkRedact(b *testing.B) {
	body := large(b, 512)
	_, sum, _, _, _ := otlp.Scan(body)
	b.ReportAllocs()
	for b.Loop() {
		otlp.Redact(body, sum)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/512, "ns/span")
}
