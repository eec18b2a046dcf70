package forward

import (
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"forkspan.dev/forkspan/internal/otlp"
)

// TestUnsampledStaysHere passes on all but the spans that only our own proxy makes: recorded, and not sampled.
func TestUnsampledStaysHere(t *testing.T) {
	span := func(flags uint32) *trace.Span {
		return &trace.Span{TraceId: []byte("0123456789abcdef"), SpanId: []byte("01234567"), EndTimeUnixNano: 1, Flags: flags}
	}
	scope := func(name string, spans ...*trace.Span) *trace.ScopeSpans {
		return &trace.ScopeSpans{Scope: &common.InstrumentationScope{Name: name}, Spans: spans}
	}
	const remote, sampled = 0x300, 1
	marshal := func(scopes ...*trace.ScopeSpans) []byte {
		body, err := proto.Marshal(&trace.TracesData{ResourceSpans: []*trace.ResourceSpans{{ScopeSpans: scopes}}})
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	o := newOutgoing(Settings{})
	out, spans, local := o.convert(marshal(
		scope("forkspan.dev/forkspan/genai/genaihttp", span(remote), span(remote|sampled), span(remote)),
		scope("vllm.tracing.otel", span(remote)), // opentelemetry-python never tells
		scope("forkspan.dev/forkspan/genai", span(remote)),
	))
	if all, err := otlp.Decode(out); err != nil || len(all) != 2 || spans != 2 || local != 3 {
		t.Errorf("%d spans (%d), %d local, %v", spans, len(all), local, err)
	}
	if _, spans, local := o.convert(marshal(scope("forkspan.dev/forkspan/genai", span(remote)))); spans != 0 || local != 1 {
		t.Errorf("%d spans, %d local", spans, local)
	}
}
