package forward

import (
	"bytes"
	"encoding/hex"
	"os"
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
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

// capture returns the requests of a captured trace, or a request for each span of it.
func capture(t *testing.T, name string, apart bool) (bodies [][]byte) {
	t.Helper()
	file, err := os.ReadFile("../../testdata/captures/" + name + ".otlp.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(file) {
		body, err := otlp.FromJSON(line)
		if err != nil {
			t.Fatal(err)
		}
		if !apart {
			bodies = append(bodies, body)
			continue
		}
		var data trace.TracesData
		if err := proto.Unmarshal(body, &data); err != nil {
			t.Fatal(err)
		}
		for len(data.ResourceSpans) > 0 {
			head, tail := halve(&data, 1)
			body, err := proto.Marshal(head)
			if err != nil {
				t.Fatal(err)
			}
			bodies = append(bodies, body)
			data.ResourceSpans = tail.ResourceSpans
		}
	}
	return bodies
}

func convertAll(t *testing.T, o *outgoing, bodies [][]byte) (spans []otlp.Span, sent [][]byte) {
	t.Helper()
	for _, body := range bodies {
		out, n, _ := o.convert(body)
		all, err := otlp.Decode(out)
		if err != nil || int64(len(all)) != n {
			t.Fatalf("%d spans, counted %d, %v", len(all), n, err)
		}
		spans, sent = append(spans, all...), append(sent, out)
	}
	return spans, sent
}

const workers = "vllm-serve-tp2-api2"

// Two ranks of vLLM share span ids. Whatever the batches: each span has an id of its own afterwards, its parent is the one it had,
// of its own process, and one that is sent again is the same.
func TestRanksGetIDs(t *testing.T) {
	for _, apart := range []bool{false, true} {
		bodies := capture(t, workers, apart)
		before, _ := convertAll(t, newOutgoing(Settings{Verbatim: true}), bodies)
		after, sent := convertAll(t, newOutgoing(Settings{}), bodies)
		if len(after) != len(before) || len(before) != 22 {
			t.Fatalf("%d spans became %d", len(before), len(after))
		}
		byID := map[otlp.SpanID]int{}
		renamed := 0
		for i := range after {
			if other, ok := byID[after[i].SpanID]; ok {
				t.Errorf("apart %v: %s of %s has the id of %s of %s", apart, after[i].Name, after[i].Process.Name,
					after[other].Name, after[other].Process.Name)
			}
			byID[after[i].SpanID] = i
			original, ok := after[i].Attribute("forkspan.original.span_id")
			if ok {
				renamed++
			}
			if ok != (after[i].SpanID != before[i].SpanID) || ok && original != hex.EncodeToString(before[i].SpanID[:]) {
				t.Errorf("%s: original id %v of %x", after[i].Name, original, before[i].SpanID)
			}
		}
		if renamed != 5 {
			t.Errorf("apart %v: %d spans have new ids", apart, renamed)
		}
		for i := range after {
			p, ok := byID[after[i].ParentID]
			if !ok {
				if after[i].ParentID != before[i].ParentID {
					t.Errorf("%s lost its parent", after[i].Name)
				}
				continue
			}
			if local := before[i].Flags == 0x100; local != (after[p].Process.Name == after[i].Process.Name &&
				after[p].Process.PID == after[i].Process.PID) {
				t.Errorf("apart %v: %s of %s is below %s of %s", apart, after[i].Name, after[i].Process.Name, after[p].Name, after[p].Process.Name)
			}
			if before[p].SpanID != before[i].ParentID {
				t.Errorf("%s: another parent", after[i].Name)
			}
		}
		_, again := convertAll(t, newOutgoing(Settings{}), bodies)
		for i := range sent {
			if !bytes.Equal(sent[i], again[i]) {
				t.Errorf("request %d differs the second time", i)
			}
		}
	}
}

// Equal ids within a process, and a process with two resources, are left alone.
func TestOnlyRanksGetIDs(t *testing.T) {
	span := func(process string, id, parent byte, flags uint32) []byte {
		s := &trace.Span{
			TraceId: []byte("0123456789abcdef"), SpanId: []byte{7: id}, Name: "s", EndTimeUnixNano: 1, Flags: flags,
		}
		if parent != 0 {
			s.ParentSpanId = []byte{7: parent}
		}
		body, err := proto.Marshal(&trace.TracesData{ResourceSpans: []*trace.ResourceSpans{{
			Resource:   &resource.Resource{Attributes: []*common.KeyValue{text("service.instance.id", process)}},
			ScopeSpans: []*trace.ScopeSpans{{Spans: []*trace.Span{s}}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	const local, remote = 0x100, 0x300
	bodies := [][]byte{
		span("a", 1, 2, local), span("b", 2, 0, local), // two providers of one process
		span("a", 3, 4, remote), span("c", 4, 0, local), // two processes
		span("a", 1, 2, local),                 // sent twice
		span("d", 5, 6, 0), span("e", 6, 0, 0), // flags unknown
	}
	_, sent := convertAll(t, newOutgoing(Settings{}), bodies)
	for i := range sent {
		if !bytes.Equal(sent[i], bodies[i]) {
			t.Errorf("request %d was changed", i)
		}
	}
}

// A request that hangs on the environment's parent gets a trace of its own, linked to the run.
func TestRequestsGetTraces(t *testing.T) {
	ambient := otlp.SpanID{0x12, 0x34, 0x56, 0x78, 0x90, 0xab, 0xcd, 0xef}
	bodies := capture(t, workers, false)
	before, _ := convertAll(t, newOutgoing(Settings{Verbatim: true}), bodies)
	after, _ := convertAll(t, newOutgoing(Settings{Ambient: []otlp.SpanID{ambient}}), bodies)
	moved := 0
	for i := range after {
		if after[i].TraceID == before[i].TraceID {
			continue
		}
		moved++
		links := after[i].Links()
		if after[i].Name != "llm_request" || after[i].ParentID != (otlp.SpanID{}) || len(links) != 1 ||
			links[0].TraceID != before[i].TraceID || links[0].SpanID != ambient {
			t.Errorf("%s: parent %x, links %+v", after[i].Name, after[i].ParentID, links)
		}
		if id, _ := after[i].Attribute("forkspan.original.trace_id"); id != hex.EncodeToString(before[i].TraceID[:]) {
			t.Errorf("original trace %v", id)
		}
	}
	if moved != 1 {
		t.Errorf("%d spans have a new trace", moved)
	}
	none := 0.0
	o := newOutgoing(Settings{Ambient: []otlp.SpanID{ambient}, Ratio: &none})
	if rest, _ := convertAll(t, o, bodies); len(rest) != len(before)-1 {
		t.Errorf("%d of %d spans are left by a sampler that takes none", len(rest), len(before))
	}
}

// What lies below a request goes with it, in the same export and in later ones.
func TestRequestsTakeTheirSpans(t *testing.T) {
	span := func(id, parent byte, kind trace.Span_SpanKind) *trace.Span {
		return &trace.Span{
			TraceId: []byte("0123456789abcdef"), SpanId: []byte{7: id}, ParentSpanId: []byte{7: parent}, Kind: kind, EndTimeUnixNano: 1,
		}
	}
	request := func(spans ...*trace.Span) []byte {
		body, err := proto.Marshal(&trace.TracesData{ResourceSpans: []*trace.ResourceSpans{{ScopeSpans: []*trace.ScopeSpans{{Spans: spans}}}}})
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	const server, internal = trace.Span_SPAN_KIND_SERVER, trace.Span_SPAN_KIND_INTERNAL
	linked := func(id, parent byte, to ...byte) *trace.Span {
		s := span(id, parent, internal)
		for _, id := range to {
			s.Links = append(s.Links, &trace.Span_Link{TraceId: s.TraceId, SpanId: []byte{7: id}})
		}
		s.Links = append(s.Links, &trace.Span_Link{TraceId: []byte("another trace id"), SpanId: []byte{7: 3}}, &trace.Span_Link{SpanId: []byte("short")})
		return s
	}
	bodies := [][]byte{
		request(linked(10, 9, 3, 9), span(9, 1, internal), span(4, 3, internal), span(3, 2, server), span(2, 1, server), span(6, 7, internal), span(7, 6, internal)),
		request(span(5, 4, internal), span(8, 9, internal), linked(11, 9, 3, 8)),
	}
	spans, _ := convertAll(t, newOutgoing(Settings{Ambient: []otlp.SpanID{{7: 1}}}), bodies)
	for i := range spans {
		id := spans[i].SpanID[7]
		if moved := id >= 2 && id <= 5; moved != (spans[i].TraceID != otlp.TraceID([]byte("0123456789abcdef"))) {
			t.Errorf("span %d: trace %x", id, spans[i].TraceID)
		}
		if links := spans[i].Links(); id >= 10 && (links[0].TraceID == spans[i].TraceID || links[0].TraceID[0] == 0 ||
			links[1].TraceID != spans[i].TraceID || links[2].TraceID != otlp.TraceID([]byte("another trace id"))) {
			t.Errorf("span %d: links %x", id, links)
		}
		if kept := id != 2; kept != (spans[i].ParentID != otlp.SpanID{}) {
			t.Errorf("span %d: parent %x", id, spans[i].ParentID)
		}
	}
}

// The memory of ids is bounded, and forgets the oldest.
func TestMemoryForgets(t *testing.T) {
	m := newMemory[int](10)
	for i := range key(1000) {
		m.put(i, int(i))
	}
	if v, ok := m.get(995); !ok || v != 995 || m.has(5) || len(m.young)+len(m.old) > 20 {
		t.Errorf("%d entries", len(m.young)+len(m.old))
	}
}
