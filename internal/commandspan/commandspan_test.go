package commandspan

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/supervise"
)

// The official protobuf types read what Encode writes.
func TestEncodeIsOTLP(t *testing.T) {
	span := Span{
		TraceID: otlp.TraceID{1, 15: 2}, SpanID: otlp.SpanID{3}, ParentID: otlp.SpanID{4}, TraceState: "a=1", Remote: true,
		Sampled: true, Name: "make", Start: 1_000, End: 5_000, Failed: true, Message: "exited 2",
		Attributes: []otlp.Field{
			{Key: "s", Value: "text"}, {Key: "b", Value: true}, {Key: "i", Value: int64(-7)}, {Key: "f", Value: 0.25},
			{Key: "l", Value: []any{"x", ""}},
		},
		Links: []otlp.Link{{TraceID: otlp.TraceID{9}, SpanID: otlp.SpanID{8}}},
	}
	server := Span{
		Name: "of a script", Start: 1, End: 2, Kind: otlp.KindServer, Succeeded: true,
		Events: []otlp.Event{{Time: 3, Name: "halfway", Attributes: []otlp.Field{{Key: "i", Value: int64(1)}}}},
	}
	body := Encode([]otlp.Field{{Key: "service.name", Value: "make"}}, "v1", span, Span{Name: "unfinished", Start: 1}, server)
	var got collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	text := func(s string) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
	}
	want := &trace.Span{
		TraceId: span.TraceID[:], SpanId: span.SpanID[:], ParentSpanId: span.ParentID[:], TraceState: "a=1", Flags: 0x301,
		Name: "make", Kind: trace.Span_SPAN_KIND_INTERNAL, StartTimeUnixNano: 1_000, EndTimeUnixNano: 5_000,
		Status: &trace.Status{Code: trace.Status_STATUS_CODE_ERROR, Message: "exited 2"},
		Attributes: []*common.KeyValue{
			{Key: "s", Value: text("text")},
			{Key: "b", Value: &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: true}}},
			{Key: "i", Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: -7}}},
			{Key: "f", Value: &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: 0.25}}},
			{Key: "l", Value: &common.AnyValue{Value: &common.AnyValue_ArrayValue{
				ArrayValue: &common.ArrayValue{Values: []*common.AnyValue{text("x"), text("")}},
			}}},
		},
		Links: []*trace.Span_Link{{TraceId: span.Links[0].TraceID[:], SpanId: span.Links[0].SpanID[:]}},
	}
	rs := got.ResourceSpans[0]
	spans := rs.ScopeSpans[0].Spans
	if !proto.Equal(spans[0], want) {
		t.Errorf("got  %v\nwant %v", spans[0], want)
	}
	if s := spans[1]; s.EndTimeUnixNano != 0 || s.Flags != 0x100 || s.Status != nil || len(s.ParentSpanId) != 0 {
		t.Errorf("unfinished span: %v", s)
	}
	if s := spans[2]; s.Kind != trace.Span_SPAN_KIND_SERVER || s.Status.GetCode() != trace.Status_STATUS_CODE_OK ||
		len(s.Events) != 1 || s.Events[0].TimeUnixNano != 3 || s.Events[0].Name != "halfway" || len(s.Events[0].Attributes) != 1 {
		t.Errorf("span of a script: %v", s)
	}
	if a := rs.Resource.Attributes[0]; a.Key != "service.name" || a.Value.GetStringValue() != "make" {
		t.Errorf("resource: %v", rs.Resource)
	}
	if s := rs.ScopeSpans[0].Scope; s.Name != scopeName || s.Version != "v1" {
		t.Errorf("scope: %v", s)
	}
}

func TestMade(t *testing.T) {
	own := Encode(Resource(environ.Lookup(nil), "make", "7K3F"), "v1", Span{TraceID: otlp.TraceID{1}, SpanID: otlp.SpanID{1}})
	_, sum, _, _, err := otlp.Scan(own)
	if err != nil {
		t.Fatal(err)
	}
	if !Made(own, sum) {
		t.Error("our own request is not known")
	}
	sum.Processes[0].PID = 7
	if Made(own, sum) {
		t.Error("spans of a process are taken for ours")
	}
}

func TestScrub(t *testing.T) {
	long := strings.Repeat("ä", maxArgs)
	got := Scrub([]string{"run", "--api-key", "secret", "bad\xff", long, "never"})
	if got[2] == "secret" || got[3] != "bad\uFFFD" || len(got) != 5 {
		t.Errorf("got %q", got[:4])
	}
	if last := got[4]; len(last) > maxArgs+3 || !utf8.ValidString(last) || !strings.HasSuffix(last, "…") {
		t.Errorf("the long argument has %d bytes", len(last))
	}
}

func TestResource(t *testing.T) {
	lookup := environ.Lookup([]string{"OTEL_RESOURCE_ATTRIBUTES=team=a%20b,api.token=s3cr3t,service.name=api,broken,forkspan.run.id=OLD,=x,bad=%ff"})
	got := make(map[string]any)
	for _, f := range Resource(lookup, "vllm", "7K3F") {
		if _, twice := got[f.Key]; twice {
			t.Errorf("%s is there twice", f.Key)
		}
		got[f.Key] = f.Value
	}
	delete(got, "host.name")
	want := map[string]any{
		"team": "a b", "api.token": "[redacted]", "service.name": "api", "forkspan.run.id": "7K3F", "telemetry.sdk.name": "forkspan",
		"telemetry.sdk.language": "go",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestEnded(t *testing.T) {
	o := supervise.Outcome{Code: 7, User: 1500 * time.Millisecond, MaxRSS: 1 << 20}
	want := []otlp.Field{
		{Key: "process.exit.code", Value: int64(7)}, {Key: "forkspan.cpu.user_seconds", Value: 1.5},
		{Key: "forkspan.cpu.system_seconds", Value: 0.0}, {Key: "forkspan.memory.peak_bytes", Value: int64(1 << 20)},
	}
	if got := Ended(o); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if how := How(o); how != "exited 7" {
		t.Errorf("How: %q", how)
	}
}

func TestBaseName(t *testing.T) {
	for program, want := range map[string]string{
		"vllm": "vllm", "/usr/bin/python3": "python3", "./x": "x", "dir/": "dir/", "": "",
	} {
		if got := BaseName(program); got != want {
			t.Errorf("BaseName(%q) = %q, want %q", program, got, want)
		}
	}
}
