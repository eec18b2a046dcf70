package otlp_test

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"forkspan.dev/forkspan/internal/otlp"
)

var (
	traceA, traceB = bytes.Repeat([]byte{0xaa}, 16), bytes.Repeat([]byte{0xbb}, 16)
	span1, span2   = bytes.Repeat([]byte{1}, 8), bytes.Repeat([]byte{2}, 8)
)

func stringValue(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

func attribute(key string, value *commonpb.AnyValue) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: value}
}

func resourceSpans(attributes []*commonpb.KeyValue, spans ...*tracepb.Span) *tracepb.ResourceSpans {
	return &tracepb.ResourceSpans{
		Resource:   &resourcepb.Resource{Attributes: attributes},
		ScopeSpans: []*tracepb.ScopeSpans{{Spans: spans}},
	}
}

func marshal(t testing.TB, all ...*tracepb.ResourceSpans) []byte {
	t.Helper()
	b, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: all})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestScanSummary(t *testing.T) {
	worker := []*commonpb.KeyValue{
		attribute("service.name", stringValue("vllm")),
		attribute("service.instance.id", stringValue("dff2")),
		attribute("vllm.process_id", stringValue("7317")),
		attribute("vllm.process_kind", stringValue("worker")),
		attribute("vllm.process_name", stringValue("Worker_0")),
		attribute("forkspan.run.id", stringValue("7K3F")),
	}
	api := []*commonpb.KeyValue{
		attribute("service.name", stringValue("api")),
		attribute("vllm.process_id", stringValue("1")),
		attribute("process.pid", &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: 42}}),
	}
	body := marshal(t,
		resourceSpans(worker,
			&tracepb.Span{TraceId: traceA, SpanId: span2, ParentSpanId: span1, Name: "child", StartTimeUnixNano: 200, EndTimeUnixNano: 900,
				Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "failed"}},
			&tracepb.Span{TraceId: traceB, SpanId: span1, Name: "unfinished", StartTimeUnixNano: 50},
			&tracepb.Span{TraceId: traceA, SpanId: span1, Name: "root", StartTimeUnixNano: 100, EndTimeUnixNano: 300}),
		resourceSpans(api, &tracepb.Span{TraceId: traceA, SpanId: span1, ParentSpanId: span2, StartTimeUnixNano: 400, EndTimeUnixNano: 350}),
		resourceSpans(worker, &tracepb.Span{TraceId: traceB, SpanId: span2, Name: "second root", StartTimeUnixNano: 1 << 63}),
		resourceSpans(nil))
	clean, sum, rejected, reason, err := otlp.Scan(body)
	if err != nil || rejected != 0 || reason != "" || &clean[0] != &body[0] {
		t.Errorf("%d rejected (%s), error %v", rejected, reason, err)
	}
	want := otlp.Summary{
		Spans: 5,
		Traces: []otlp.TraceSummary{
			{TraceID: otlp.TraceID(traceA), Spans: 3, Start: 100, End: 900, Root: "root", Errors: 1},
			{TraceID: otlp.TraceID(traceB), Spans: 2, Start: 50, Root: "unfinished"},
		},
		Processes: []otlp.ProcessSummary{
			{Service: "vllm", InstanceID: "dff2", Kind: "worker", Name: "Worker_0", RunID: "7K3F", PID: 7317, Spans: 4},
			{Service: "api", PID: 42, Spans: 1},
		},
	}
	if !reflect.DeepEqual(sum, want) {
		t.Errorf("got  %+v\nwant %+v", sum, want)
	}
}

// nested returns a value that nests lists and arrays to a depth.
func nested(depth int) *commonpb.AnyValue {
	v := stringValue("deep")
	for i := range depth {
		if i%2 == 0 {
			v = &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{v}}}}
		} else {
			list := &commonpb.KeyValueList{Values: []*commonpb.KeyValue{attribute("k", v)}}
			v = &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: list}}
		}
	}
	return v
}

func TestScanCutsMalformedSpans(t *testing.T) {
	neighbour := func(id byte) *tracepb.Span {
		return &tracepb.Span{TraceId: traceA, SpanId: bytes.Repeat([]byte{id}, 8), Name: "neighbour", StartTimeUnixNano: 9, EndTimeUnixNano: 3}
	}
	deep := []*commonpb.KeyValue{attribute("deep", nested(65))}
	for name, test := range map[string]struct {
		bad    *tracepb.Span
		reason string // empty when the span is fine
	}{
		"no trace id":            {&tracepb.Span{SpanId: span1}, "trace id"},
		"short trace id":         {&tracepb.Span{TraceId: traceA[:15], SpanId: span1}, "trace id"},
		"long trace id":          {&tracepb.Span{TraceId: append(traceA, 1), SpanId: span1}, "trace id"},
		"zero trace id":          {&tracepb.Span{TraceId: make([]byte, 16), SpanId: span1}, "trace id"},
		"no span id":             {&tracepb.Span{TraceId: traceA}, "span id"},
		"zero span id":           {&tracepb.Span{TraceId: traceA, SpanId: make([]byte, 8)}, "span id"},
		"span id of 16 bytes":    {&tracepb.Span{TraceId: traceA, SpanId: traceA}, "span id"},
		"short parent":           {&tracepb.Span{TraceId: traceA, SpanId: span1, ParentSpanId: span1[:7]}, "parent"},
		"zero parent":            {&tracepb.Span{TraceId: traceA, SpanId: span1, ParentSpanId: make([]byte, 8)}, ""},
		"short id in a link":     {&tracepb.Span{TraceId: traceA, SpanId: span1, Links: []*tracepb.Span_Link{{TraceId: traceA[:3]}}}, "link"},
		"link":                   {&tracepb.Span{TraceId: traceA, SpanId: span1, Links: []*tracepb.Span_Link{{TraceId: traceB, SpanId: span2}}}, ""},
		"deep attribute":         {&tracepb.Span{TraceId: traceA, SpanId: span1, Attributes: deep}, "64 deep"},
		"deep attribute, 1,000":  {&tracepb.Span{TraceId: traceA, SpanId: span1, Attributes: []*commonpb.KeyValue{attribute("d", nested(1000))}}, "64 deep"},
		"deep event":             {&tracepb.Span{TraceId: traceA, SpanId: span1, Events: []*tracepb.Span_Event{{Attributes: deep}}}, "64 deep"},
		"deep link":              {&tracepb.Span{TraceId: traceA, SpanId: span1, Links: []*tracepb.Span_Link{{Attributes: deep}}}, "64 deep"},
		"just not too deep":      {&tracepb.Span{TraceId: traceA, SpanId: span1, Attributes: []*commonpb.KeyValue{attribute("d", nested(64))}}, ""},
		"end before start":       {&tracepb.Span{TraceId: traceA, SpanId: span1, StartTimeUnixNano: 2, EndTimeUnixNano: 1}, ""},
		"kind nobody knows":      {&tracepb.Span{TraceId: traceA, SpanId: span1, Kind: 77}, ""},
		"times after year 2262":  {&tracepb.Span{TraceId: traceA, SpanId: span1, StartTimeUnixNano: 1<<64 - 1, EndTimeUnixNano: 1 << 63}, ""},
		"empty attribute values": {&tracepb.Span{TraceId: traceA, SpanId: span1, Attributes: []*commonpb.KeyValue{{}, {Value: &commonpb.AnyValue{}}}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			resource := []*commonpb.KeyValue{attribute("service.name", stringValue("api"))}
			body := marshal(t, resourceSpans(resource, neighbour(7), test.bad, neighbour(8)), resourceSpans(resource, neighbour(9)))
			clean, sum, rejected, reason, err := otlp.Scan(body)
			if err != nil {
				t.Fatal(err)
			}
			want, wantRejected := body, 0
			if test.reason != "" {
				want, wantRejected = marshal(t, resourceSpans(resource, neighbour(7), neighbour(8)), resourceSpans(resource, neighbour(9))), 1
			}
			if rejected != wantRejected || !strings.Contains(reason, test.reason) || sum.Spans != 4-wantRejected || !bytes.Equal(clean, want) {
				t.Errorf("%d rejected (%s), %d spans kept:\n%x\n%x", rejected, reason, sum.Spans, clean, want)
			}
			if spans, err := otlp.Decode(clean); err != nil || len(spans) != sum.Spans {
				t.Errorf("Decode: %d spans, %v", len(spans), err)
			}
			if _, err := otlp.AppendJSON(nil, clean); err != nil {
				t.Errorf("AppendJSON: %v", err)
			}
		})
	}
}

func TestScanRefusesWhatIsNoRequest(t *testing.T) {
	good := marshal(t, resourceSpans(nil, &tracepb.Span{TraceId: traceA, SpanId: span1}))
	deep := marshal(t, resourceSpans([]*commonpb.KeyValue{attribute("deep", nested(65))}, &tracepb.Span{TraceId: traceA, SpanId: span1}))
	for name, body := range map[string][]byte{
		"truncated":                good[:len(good)-1],
		"text":                     []byte("hello"),
		"JSON":                     []byte(`{"resourceSpans":[]}`),
		"resource nested too deep": deep,
		"field number 0":           {0x02, 0x00},
		"end of a group":           {0x0c},
	} {
		if _, sum, _, _, err := otlp.Scan(body); err == nil || sum.Spans != 0 {
			t.Errorf("%s: %+v, %v", name, sum, err)
		}
	}
	if _, sum, rejected, _, err := otlp.Scan(nil); err != nil || sum.Spans != 0 || rejected != 0 {
		t.Errorf("empty request: %+v, %d, %v", sum, rejected, err)
	}
}

// wellFormed is the oracle for one span: Scan's rules on top of another protobuf implementation.
func wellFormed(s *tracepb.Span) bool {
	zero := func(id []byte) bool { return len(bytes.Trim(id, "\x00")) == 0 }
	ok := len(s.TraceId) == 16 && !zero(s.TraceId) && len(s.SpanId) == 8 && !zero(s.SpanId) && (len(s.ParentSpanId)|8) == 8
	ok = ok && flat(s.Attributes, 0)
	for _, e := range s.Events {
		ok = ok && flat(e.Attributes, 0)
	}
	for _, l := range s.Links {
		ok = ok && flat(l.Attributes, 0) && (len(l.TraceId)|16) == 16 && (len(l.SpanId)|8) == 8
	}
	return ok
}

// flat reports whether attributes nest no deeper than allowed.
func flat(attributes []*commonpb.KeyValue, depth int) bool {
	for _, a := range attributes {
		if a.Value != nil && !flatValue(a.Value, depth) {
			return false
		}
	}
	return true
}

func flatValue(v *commonpb.AnyValue, depth int) bool {
	if depth > 64 {
		return false
	}
	for _, element := range v.GetArrayValue().GetValues() {
		if !flatValue(element, depth+1) {
			return false
		}
	}
	return flat(v.GetKvlistValue().GetValues(), depth+1)
}

// checkScan compares with golang/protobuf: where that reads the request, the same spans must be kept and counted; what Scan
// keeps of any input, it must be able to read.
func checkScan(t *testing.T, body []byte) {
	t.Helper()
	clean, sum, rejected, reason, err := otlp.Scan(body)
	var want tracepb.TracesData
	readable := proto.Unmarshal(body, &want) == nil
	if err != nil {
		if _, err := otlp.Decode(body); err == nil && readable && flatResources(&want) {
			t.Fatalf("Scan refused a request that others read: %v", err)
		}
		return
	}
	if (rejected > 0) != (reason != "") {
		t.Fatalf("%d rejected because of %q", rejected, reason)
	}
	if readable {
		good, bad := 0, 0
		for _, s := range allSpans(&want) {
			if wellFormed(s) {
				good++
			} else {
				bad++
			}
		}
		if sum.Spans != good || rejected != bad {
			t.Fatalf("kept %d, rejected %d (%s); want %d, %d", sum.Spans, rejected, reason, good, bad)
		}
	} else if rejected == 0 {
		t.Fatal("kept all of a request that others do not read")
	}
	var kept tracepb.TracesData
	if err := proto.Unmarshal(clean, &kept); err != nil {
		t.Fatalf("what is kept does not unmarshal: %v", err)
	}
	compareDecoded(t, clean, &kept)
	byTrace := 0
	for _, trace := range sum.Traces {
		byTrace += trace.Spans
	}
	if byTrace != sum.Spans || len(allSpans(&kept)) != sum.Spans {
		t.Fatalf("%d spans kept, %d by trace, %d in the summary", len(allSpans(&kept)), byTrace, sum.Spans)
	}
	if _, _, again, _, err := otlp.Scan(clean); err != nil || again != 0 {
		t.Fatalf("a second scan rejects %d, %v", again, err)
	}
}

// seeds are requests to begin with: the captured ones and some with malformed spans.
func seeds(t testing.TB) (bodies [][]byte) {
	t.Helper()
	for _, requests := range captures(t) {
		for _, request := range requests {
			body, err := otlp.FromJSON(request)
			if err != nil {
				t.Fatal(err)
			}
			bodies = append(bodies, body)
		}
	}
	full := &tracepb.Span{
		TraceId: traceA, SpanId: span1, ParentSpanId: span2, TraceState: "a=b", Name: "n", Flags: 1,
		Attributes: []*commonpb.KeyValue{attribute("d", nested(3))},
		Events:     []*tracepb.Span_Event{{Name: "e", Attributes: []*commonpb.KeyValue{attribute("d", nested(1))}}},
		Links:      []*tracepb.Span_Link{{TraceId: traceB, SpanId: span2}},
		Status:     &tracepb.Status{Code: 2, Message: "m"},
	}
	return append(bodies,
		marshal(t, resourceSpans([]*commonpb.KeyValue{attribute("service.name", stringValue("s"))}, full, full), resourceSpans(nil, full)),
		marshal(t, resourceSpans(nil, &tracepb.Span{TraceId: traceA[:3]}, &tracepb.Span{TraceId: traceA, SpanId: span1})),
		marshal(t, resourceSpans(nil, &tracepb.Span{TraceId: traceA, SpanId: span1, Attributes: []*commonpb.KeyValue{attribute("d", nested(66))}})))
}

func FuzzScan(f *testing.F) {
	for _, body := range seeds(f) {
		f.Add(body)
	}
	f.Fuzz(checkScan)
}

// mutate returns a copy of b with a few bytes changed, put in, left out or moved.
func mutate(r *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + r.IntN(4) {
		if len(b) == 0 {
			break
		}
		i, j := r.IntN(len(b)), r.IntN(len(b))
		switch r.IntN(5) {
		case 0:
			b[i] ^= 1 << r.IntN(8)
		case 1:
			b[i] = byte(r.IntN(256))
		case 2:
			b = slices.Insert(b, i, byte(r.IntN(256)))
		case 3:
			b = slices.Delete(b, i, min(len(b), i+1+r.IntN(4)))
		case 4:
			b = slices.Insert(b, i, b[min(i, j):max(i, j)]...)
		}
	}
	return b
}

// TestScanMutations goes through many slightly broken requests, the same in each run.
func TestScanMutations(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	all := seeds(t)
	for range 20_000 {
		checkScan(t, mutate(r, all[r.IntN(len(all))]))
	}
}

// flatResources reports whether the attributes outside of spans nest no deeper than allowed.
func flatResources(data *tracepb.TracesData) bool {
	for _, r := range data.ResourceSpans {
		if !flat(r.Resource.GetAttributes(), 0) {
			return false
		}
		for _, s := range r.ScopeSpans {
			if !flat(s.Scope.GetAttributes(), 0) {
				return false
			}
		}
	}
	return true
}

func allSpans(data *tracepb.TracesData) (spans []*tracepb.Span) {
	for _, r := range data.ResourceSpans {
		for _, s := range r.ScopeSpans {
			spans = append(spans, s.Spans...)
		}
	}
	return spans
}
