package otlp_test

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"forkspan.dev/forkspan/internal/otlp"
)

// oneSpan wraps the members of a span into a request.
func oneSpan(members string) string {
	return `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"` + strings.Repeat("aa", 16) +
		`","spanId":"0101010101010101"` + members + `}]}]}]}`
}

func TestFromJSON(t *testing.T) {
	base := func(change func(s *tracepb.Span)) *tracepb.Span {
		s := &tracepb.Span{TraceId: traceA, SpanId: span1}
		change(s)
		return s
	}
	for name, test := range map[string]struct {
		json string
		want *tracepb.Span
	}{
		"ids only":                 {oneSpan(""), base(func(*tracepb.Span) {})},
		"ids in upper case":        {strings.ReplaceAll(oneSpan(""), "aa", "AA"), base(func(*tracepb.Span) {})},
		"ids in base64":            {strings.ReplaceAll(oneSpan(""), strings.Repeat("aa", 16), "qqqqqqqqqqqqqqqqqqqqqg=="), base(func(*tracepb.Span) {})},
		"unknown members":          {oneSpan(`,"color":"red","shape":{"a":[1]}`), base(func(*tracepb.Span) {})},
		"null members":             {oneSpan(`,"name":null,"attributes":null,"status":null,"kind":null,"parentSpanId":null`), base(func(*tracepb.Span) {})},
		"empty parent":             {oneSpan(`,"parentSpanId":""`), base(func(*tracepb.Span) {})},
		"times as numbers":         {oneSpan(`,"startTimeUnixNano":1795375881613602897`), base(func(s *tracepb.Span) { s.StartTimeUnixNano = 1795375881613602897 })},
		"times as text":            {oneSpan(`,"endTimeUnixNano":"1795375881613602897"`), base(func(s *tracepb.Span) { s.EndTimeUnixNano = 1795375881613602897 })},
		"integer with an exponent": {oneSpan(`,"droppedEventsCount":1e3`), base(func(s *tracepb.Span) { s.DroppedEventsCount = 1000 })},
		"enum by number":           {oneSpan(`,"kind":3`), base(func(s *tracepb.Span) { s.Kind = tracepb.Span_SPAN_KIND_CLIENT })},
		"enum by name":             {oneSpan(`,"kind":"SPAN_KIND_CLIENT"`), base(func(s *tracepb.Span) { s.Kind = tracepb.Span_SPAN_KIND_CLIENT })},
		"status": {oneSpan(`,"status":{"code":2,"message":"failed"}`),
			base(func(s *tracepb.Span) { s.Status = &tracepb.Status{Code: 2, Message: "failed"} })},
		"values": {oneSpan(`,"attributes":[{"key":"i","value":{"intValue":"-7"}},{"key":"d","value":{"doubleValue":"-Infinity"}},
			{"key":"b","value":{"bytesValue":"AP8="}},{"key":"u","value":{"bytesValue":"_w"}},{"key":"e","value":{}},
			{"key":"a","value":{"arrayValue":{"values":[{"boolValue":false},{"stringValue":""}]}}}]`),
			base(func(s *tracepb.Span) {
				array := &commonpb.ArrayValue{Values: []*commonpb.AnyValue{{Value: &commonpb.AnyValue_BoolValue{}}, stringValue("")}}
				s.Attributes = []*commonpb.KeyValue{
					attribute("i", &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: -7}}),
					attribute("d", &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: negativeInfinity}}),
					attribute("b", &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte{0, 255}}}),
					attribute("u", &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte{255}}}),
					attribute("e", &commonpb.AnyValue{}),
					attribute("a", &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: array}}),
				}
			})},
	} {
		body, err := otlp.FromJSON([]byte(test.json))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got tracepb.TracesData
		if err := proto.Unmarshal(body, &got); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if spans := allSpans(&got); len(spans) != 1 || !proto.Equal(spans[0], test.want) {
			t.Errorf("%s: got %v, want %v", name, spans, test.want)
		}
	}
}

var negativeInfinity = math.Inf(-1)

func TestFromJSONRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":          ``,
		"an array":         `[]`,
		"truncated":        oneSpan("")[:40],
		"two documents":    `{}{}`,
		"a time in words":  oneSpan(`,"startTimeUnixNano":"yesterday"`),
		"broken bytes":     oneSpan(`,"attributes":[{"key":"b","value":{"bytesValue":"?"}}]`),
		"a double in word": oneSpan(`,"attributes":[{"key":"d","value":{"doubleValue":"much"}}]`),
	} {
		if body, err := otlp.FromJSON([]byte(text)); err == nil {
			t.Errorf("%s: %x", name, body)
		}
	}
}

// TestJSONWithBadIDs has spans with ids of no kind: they are cut out by Scan like those of protobuf.
func TestJSONWithBadIDs(t *testing.T) {
	for _, id := range []string{"xyz", "aa", "", strings.Repeat("aa", 17), strings.Repeat("00", 16)} {
		text := oneSpan(`},{"traceId":"` + strings.Repeat("bb", 16) + `","spanId":"0202020202020202"`)
		text = strings.Replace(text, strings.Repeat("aa", 16), id, 1)
		body, err := otlp.FromJSON([]byte(text))
		if err != nil {
			t.Errorf("id %q: %v", id, err)
			continue
		}
		_, sum, rejected, reason, err := otlp.Scan(body)
		if err != nil || rejected != 1 || sum.Spans != 1 || !strings.Contains(reason, "trace id") {
			t.Errorf("id %q: %d rejected (%s), %d kept, %v", id, rejected, reason, sum.Spans, err)
		}
	}
}

// TestDeepJSON nests deeper than a span may: it must be cut out, in a time that does not grow with the depth squared.
func TestDeepJSON(t *testing.T) {
	const depth = 3000
	value := strings.Repeat(`{"arrayValue":{"values":[`, depth) + `{"intValue":"1"}` + strings.Repeat(`]}}`, depth)
	body, err := otlp.FromJSON([]byte(oneSpan(`,"attributes":[{"key":"deep","value":` + value + `}]`)))
	if err != nil {
		t.Fatal(err)
	}
	if _, sum, rejected, _, err := otlp.Scan(body); err != nil || rejected != 1 || sum.Spans != 0 {
		t.Errorf("%d rejected, %d kept, %v", rejected, sum.Spans, err)
	}
}

func TestAppendJSON(t *testing.T) {
	r := resourceSpans([]*commonpb.KeyValue{attribute("service.name", stringValue("a\"b\\c\n\x01é\u2028"))},
		&tracepb.Span{TraceId: traceA, SpanId: span1, Name: "n", Kind: 2, StartTimeUnixNano: 5, Status: &tracepb.Status{}})
	got, err := otlp.AppendJSON([]byte("line: "), marshal(t, r))
	want := `line: {"resourceSpans":[{"resource":{"attributes":[{"key":"service.name",` +
		`"value":{"stringValue":"a\"b\\c\n\u0001é` + "\u2028" + `"}}]},` +
		`"scopeSpans":[{"spans":[{"traceId":"` + strings.Repeat("aa", 16) + `","spanId":"0101010101010101","name":"n","kind":2,` +
		`"startTimeUnixNano":"5","status":{}}]}]}]}`
	if err != nil || string(got) != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
	}
	if dst, err := otlp.AppendJSON([]byte("kept"), []byte{0x0a, 0x05}); err == nil || string(dst) != "kept" {
		t.Errorf("of broken protobuf: %q, %v", dst, err)
	}
}

// FuzzJSON converts requests to JSON and back. The JSON must be valid, on one line, and the request the same.
func FuzzJSON(f *testing.F) {
	for _, body := range seeds(f) {
		f.Add(body)
	}
	f.Fuzz(checkJSON)
}

// TestJSONMutations goes through many slightly broken requests, the same in each run.
func TestJSONMutations(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	all := seeds(t)
	for range 5_000 {
		checkJSON(t, mutate(r, all[r.IntN(len(all))]))
	}
}

func checkJSON(t *testing.T, body []byte) {
	t.Helper()
	clean, _, _, _, err := otlp.Scan(body)
	if err != nil {
		_, _ = otlp.AppendJSON(nil, body)
		return
	}
	line, err := otlp.AppendJSON(nil, clean)
	if err != nil || !json.Valid(line) || bytes.ContainsRune(line, '\n') {
		t.Fatalf("%v: %s", err, line)
	}
	again, err := otlp.FromJSON(line)
	if err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	var want, got tracepb.TracesData
	if err := proto.Unmarshal(clean, &want); err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(again, &got); err != nil {
		t.Fatal(err)
	}
	checkSame(t, &want, &got, line)
	wanted, have := allSpans(&want), allSpans(&got)
	if len(wanted) != len(have) {
		t.Fatalf("%d spans became %d: %s", len(wanted), len(have), line)
	}
	for i, s := range wanted {
		if !sameFields(fieldsOf(s.Attributes), fieldsOf(have[i].Attributes)) || s.Name != have[i].Name || !bytes.Equal(s.SpanId, have[i].SpanId) ||
			s.EndTimeUnixNano != have[i].EndTimeUnixNano || len(s.Events) != len(have[i].Events) || len(s.Links) != len(have[i].Links) {
			t.Fatalf("span %v became %v: %s", s, have[i], line)
		}
	}
}

// checkSame compares whole requests, but for fields that OTLP does not know.
func checkSame(t *testing.T, want, got *tracepb.TracesData, line []byte) {
	t.Helper()
	canonical, err := proto.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var known tracepb.TracesData
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(canonical, &known); err != nil {
		t.Fatal(err)
	}
	clearIndexes(known.ProtoReflect())
	if !proto.Equal(&known, got) {
		t.Fatalf("%v became %v: %s", &known, got, line)
	}
}

// clearIndexes takes out the indexes into tables of strings, which only profiles have.
func clearIndexes(m protoreflect.Message) {
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case strings.HasSuffix(string(field.Name()), "_strindex"):
			m.Clear(field)
		case field.Kind() != protoreflect.MessageKind:
		case field.IsList():
			for i := range v.List().Len() {
				clearIndexes(v.List().Get(i).Message())
			}
		default:
			clearIndexes(v.Message())
		}
		return true
	})
}

// FuzzFromJSON reads arbitrary JSON: what it makes of it must be protobuf.
func FuzzFromJSON(f *testing.F) {
	for _, requests := range captures(f) {
		f.Add(requests[0])
	}
	f.Add([]byte(oneSpan(`,"kind":"SPAN_KIND_SERVER","attributes":[{"key":"d","value":{"doubleValue":"NaN"}}]`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		body, err := otlp.FromJSON(data)
		if err != nil {
			return
		}
		clean, _, _, _, err := otlp.Scan(body)
		if err == nil {
			err = proto.Unmarshal(clean, &tracepb.TracesData{})
		}
		if err != nil && !strings.Contains(err.Error(), "64 deep") {
			t.Fatalf("%v: %x", err, body)
		}
	})
}
