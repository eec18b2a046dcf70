package otlp_test

import (
	"slices"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"forkspan.dev/forkspan/internal/otlp"
)

func TestCutUnsampled(t *testing.T) {
	const own, foreign = "forkspan.dev/forkspan/genai", "vllm.tracing.otel"
	const local, sampled, silent = 0x100, 0x101, 0
	tests := []struct {
		name  string
		scope string
		flags []uint32
		want  []uint32 // nil: as it came
	}{
		{"sampled", own, []uint32{sampled, sampled}, nil},
		{"not sampled", own, []uint32{local, local}, []uint32{}},
		{"some", own, []uint32{local, sampled, local, sampled | 2}, []uint32{sampled, sampled | 2}},
		{"no flags told", own, []uint32{silent}, nil},
		{"another SDK", foreign, []uint32{local, sampled}, nil},
		{"no scope", "", []uint32{local}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			build := func(flags []uint32) []byte {
				var spans []*tracepb.Span
				for _, f := range flags {
					spans = append(spans, &tracepb.Span{TraceId: traceA, SpanId: span1, Name: "chat", Flags: f})
				}
				neighbour := resourceSpans(nil, &tracepb.Span{TraceId: traceA, SpanId: span2, Flags: local})
				return marshal(t, neighbour, &tracepb.ResourceSpans{
					Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{attribute("service.name", stringValue("p"))}},
					ScopeSpans: []*tracepb.ScopeSpans{{
						Scope: &commonpb.InstrumentationScope{Name: test.scope}, Spans: spans, SchemaUrl: "https://example.com",
					}},
					SchemaUrl: "https://example.com",
				})
			}
			body := build(test.flags)
			rest, cut := otlp.CutUnsampled(body)
			want := body
			if test.want != nil {
				want = build(test.want)
			}
			if left := len(test.flags) - len(test.want); test.want != nil && cut != left || test.want == nil && cut != 0 {
				t.Errorf("%d cut of %x", cut, test.flags)
			}
			if !slices.Equal(rest, want) {
				t.Errorf("got %x\nwant %x", rest, want)
			}
		})
	}
}
