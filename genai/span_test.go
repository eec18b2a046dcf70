package genai

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// written lists a span's attributes, a line each, in order of their names.
func written(s tracetest.SpanStub) string {
	var l []string
	for _, kv := range s.Attributes {
		l = append(l, fmt.Sprintf("%s=%s", kv.Key, kv.Value.String()))
	}
	slices.Sort(l)
	return strings.Join(l, "\n")
}

func TestSpan(t *testing.T) {
	rec := newRecording(t)
	x := stream(chatPath, `{"model":"m","stream":true,"n":2,"max_completion_tokens":9,"temperature":0,"top_p":0.5,"top_k":3,"seed":7,
		"frequency_penalty":0.1,"presence_penalty":-0.2,"reasoning_effort":"low","messages":[{"content":"secret"}]}`,
		sseBody(chatDelta("0", `{"content":"secret"}`, "null"), chatDelta("1", `{"content":"secret"}`, `"stop"`),
			chatDelta("0", `{"reasoning":"secret"}`, `"length"`),
			`{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3,"completion_tokens_details":{"reasoning_tokens":1},"prompt_tokens_details":{"cached_tokens":4}}}`))
	rec.play(x, events(x.body), nil)
	s := rec.span(t)
	want := `forkspan.gen_ai.chunk_gaps=kE6QTg==
forkspan.gen_ai.time_to_first_text=0.02
forkspan.gen_ai.time_to_first_token=0.02
forkspan.gen_ai.time_to_headers=0.01
forkspan.gen_ai.time_to_last_token=0.04
gen_ai.operation.name=chat
gen_ai.provider.name=openai
gen_ai.request.choice.count=2
gen_ai.request.frequency_penalty=0.1
gen_ai.request.max_tokens=9
gen_ai.request.model=m
gen_ai.request.presence_penalty=-0.2
gen_ai.request.reasoning.level=low
gen_ai.request.seed=7
gen_ai.request.stream=true
gen_ai.request.temperature=0
gen_ai.request.top_k=3
gen_ai.request.top_p=0.5
gen_ai.response.finish_reasons=["length","stop"]
gen_ai.response.id=c1
gen_ai.response.model=m
gen_ai.response.time_to_first_chunk=0.02
gen_ai.usage.cache_read.input_tokens=4
gen_ai.usage.input_tokens=5
gen_ai.usage.output_tokens=3
gen_ai.usage.reasoning.output_tokens=1
http.response.status_code=200
server.address=upstream
server.port=8000
url.path=/v1/chat/completions`
	if got := written(s); got != want {
		t.Errorf("attributes\n%s\nwant\n%s", got, want)
	}
	if s.Name != "chat m" || s.SpanKind != trace.SpanKindClient || s.InstrumentationScope.Name != ScopeName {
		t.Errorf("span %q of kind %v in scope %q", s.Name, s.SpanKind, s.InstrumentationScope.Name)
	}
	if len(s.Events) != 1 || s.Events[0].Name != "first token" || !s.Events[0].Time.Equal(at(2)) {
		t.Errorf("events %+v", s.Events)
	}
}

func TestVLLMNames(t *testing.T) {
	rec := newRecording(t, WithVLLMNames(), WithProvider("mine"), WithSpanKind(trace.SpanKindServer))
	x := capture(t, "llamacpp-http/chat-stream-usage")
	rec.play(x, events(x.body), nil)
	s := rec.span(t)
	a := attrs(s)
	for key, want := range map[string]string{
		AttrVLLMTimeToFirstToken: "0.02", AttrVLLME2E: "0.11", AttrVLLMPromptTokens: "21", AttrVLLMCompletionTokens: "8",
		AttrVLLMRequestID: "chatcmpl-BPZ7DRy8Ye8skeEXFat2OOTNtnUnkeFp", AttrVLLMRequestN: "1",
		AttrVLLMPrefill: "0.000803",
		AttrVLLMDecode:  "0.05", AttrProviderName: "mine", AttrUsageInput: "21",
	} {
		if v := a[key]; v.String() != want {
			t.Errorf("%s = %s, want %s", key, v.String(), want)
		}
	}
	if s.SpanKind != trace.SpanKindServer {
		t.Errorf("kind %v", s.SpanKind)
	}
}

func TestPhases(t *testing.T) {
	rec := newRecording(t)
	x := exchange{path: "/api/chat", request: []byte(`{"model":"llama3.2"}`), status: 200,
		header: http.Header{"Content-Type": {"application/x-ndjson"}}}
	rec.play(x, bytes.SplitAfter([]byte(ollamaChat), []byte("\n")), nil)
	// The last token came at 40 ms: decode lasted 20 ms, prefill 10 ms, load 5 ms.
	var got []string
	for _, s := range rec.spans.GetSpans() {
		if s.Parent.SpanID() == rec.span(t).SpanContext.SpanID() {
			got = append(got, fmt.Sprint(s.Name, " ", s.StartTime.Sub(epoch), "-", s.EndTime.Sub(epoch), " ",
				attrs(s)[AttrDerivedFrom].String(), " ", attrs(s)[AttrDerived].String()))
		}
	}
	want := []string{"decode 20ms-40ms ollama true", "prefill 10ms-20ms ollama true", "load 5ms-10ms ollama true"}
	if !slices.Equal(got, want) {
		t.Errorf("phases %q, want %q", got, want)
	}
}

func TestPhasesStayInTheRequest(t *testing.T) {
	rec := newRecording(t)
	x := exchange{path: "/completion", request: []byte(`{}`), status: 200,
		header: http.Header{"Content-Type": {"application/json"}},
		body:   []byte(`{"content":"x","stop":true,"timings":{"prompt_ms":99999,"predicted_ms":99999}}`)}
	rec.play(x, [][]byte{x.body}, nil)
	for _, s := range rec.spans.GetSpans() {
		if s.StartTime.Before(epoch) || s.EndTime.Before(s.StartTime) || s.EndTime.After(at(3)) {
			t.Errorf("%s from %v to %v", s.Name, s.StartTime, s.EndTime)
		}
	}
}

func TestParentsAndContext(t *testing.T) {
	rec := newRecording(t)
	tp := sdktrace.NewTracerProvider()
	defer func() { _ = tp.Shutdown(context.Background()) }()
	ctx, parent := tp.Tracer("test").Start(context.Background(), "server")
	r := rec.NewRequest(ctx, RequestInfo{Method: "POST", Path: chatPath,
		Attributes: []attribute.KeyValue{attribute.Bool("mine", true)}})
	if trace.SpanFromContext(r.Context()) != r.Span() ||
		r.Span().SpanContext().TraceID() != parent.SpanContext().TraceID() {
		t.Error("the context does not carry the request's span")
	}
	r.End(nil)
	s := rec.spans.GetSpans()[0]
	if s.Parent.SpanID() != parent.SpanContext().SpanID() || !attrs(s)["mine"].AsBool() {
		t.Errorf("span %+v", s)
	}
	if s.Name != "chat" || r.API() != APIChat {
		t.Errorf("name %q, api %v", s.Name, r.API())
	}
}

func TestSpanThatIsThere(t *testing.T) {
	rec := newRecording(t)
	ctx, span := rec.tracer.Start(context.Background(), "POST", trace.WithSpanKind(trace.SpanKindServer))
	r := rec.NewRequest(ctx, RequestInfo{Method: "POST", Path: chatPath, Body: []byte(`{"model":"m"}`), Span: span})
	if trace.SpanFromContext(r.Context()) != span {
		t.Error("the context does not carry the span")
	}
	r.End(nil)
	s := rec.span(t)
	if len(rec.spans.GetSpans()) != 1 || s.Name != "chat m" || s.SpanKind != trace.SpanKindServer || attrs(s)[AttrRequestModel].AsString() != "m" {
		t.Errorf("span %q of kind %v: %s", s.Name, s.SpanKind, written(s))
	}
}

func TestBodyThatComesLater(t *testing.T) {
	body := `{"messages":[{"content":"secret"}],"model":"late","stream":true}`
	for _, known := range []int{0, 10, 52, len(body)} {
		rec := newRecording(t)
		r := rec.NewRequest(context.Background(), RequestInfo{Method: "POST", Path: chatPath, Body: []byte(body[:known])})
		for i := known; i < len(body); i++ {
			r.RequestBody([]byte(body[i : i+1]))
		}
		r.ResponseHeader(200, http.Header{"Content-Type": {"application/json"}}, time.Time{})
		r.RequestBody([]byte("after the answer"))
		r.End(nil)
		s := rec.span(t)
		if s.Name != "chat late" || attrs(s)[AttrRequestModel].AsString() != "late" ||
			!attrs(s)[AttrRequestStream].AsBool() {
			t.Errorf("%d bytes known at the start: span %q with %s", known, s.Name, written(s))
		}
	}
}

func TestBodyThatIsNotRead(t *testing.T) {
	rec := newRecording(t)
	r := rec.NewRequest(context.Background(), RequestInfo{Method: "POST", Path: chatPath, Body: []byte(`{"model":"m"}`),
		Header: http.Header{"Content-Encoding": {"gzip"}}})
	r.End(nil)
	long := `{"messages":"` + strings.Repeat("x", MaxRequestBody) + `","model":"m"}`
	r = rec.NewRequest(context.Background(), RequestInfo{Method: "POST", Path: chatPath, Body: []byte(long)})
	r.RequestBody([]byte(long))
	x := capture(t, "vllm-http/chat")
	r.ResponseHeader(200, x.header, at(1))
	r.Chunk(x.body, at(2))
	r.End(nil)
	if l := rec.spans.GetSpans(); l[0].Name != "chat" || l[1].Name != "chat ./tiny" {
		t.Errorf("spans %q, %q", l[0].Name, l[1].Name)
	}
}

// TestStreamOfOllama asks whether a request is told to be streamed, which is Ollama's default.
func TestStreamOfOllama(t *testing.T) {
	for body, want := range map[string]bool{`{}`: true, `{"stream":false}`: false, ``: false, `{"stream":true}`: true} {
		for _, late := range []bool{false, true} {
			rec := newRecording(t)
			info := RequestInfo{Method: "POST", Path: "/api/chat"}
			if !late {
				info.Body = []byte(body)
			}
			r := rec.NewRequest(context.Background(), info)
			if late {
				r.RequestBody([]byte(body))
			}
			r.End(nil)
			if got := attrs(rec.span(t))[AttrRequestStream]; (got.Type() == attribute.BOOL && got.AsBool()) != want {
				t.Errorf("%q: stream %v", body, got.String())
			}
		}
	}
}

func TestUnknownRequests(t *testing.T) {
	rec := newRecording(t)
	r := rec.NewRequest(context.Background(), RequestInfo{Method: "GET", Path: "/v1/models"})
	r.ResponseHeader(200, http.Header{"Content-Type": {"application/json"}}, at(1))
	r.Chunk([]byte(`{"id":"secret"}`), at(2))
	r.End(nil)
	s := rec.span(t)
	if c := r.Call(); s.Name != "GET" || c.ResponseID != "" || c.ErrorType != "" || c.StatusCode != 200 ||
		c.Unparsed != 0 {
		t.Errorf("span %q, call %+v", s.Name, c)
	}
}

// TestNothingOfTheTextIsRecorded plays exchanges full of one word, and looks for it in all that is recorded.
func TestNothingOfTheTextIsRecorded(t *testing.T) {
	const word = "xyzzy"
	rec := newRecording(t, WithVLLMNames())
	for _, h := range handmade {
		x := h.x
		x.request = []byte(`{"model":"m","messages":[{"role":"user","content":"xyzzy"}],"stop":["xyzzy"],"user":"xyzzy","reasoning_effort":"not xyzzy"}`)
		body := strings.NewReplacer(`"Hi"`, `"xyzzy"`, `"a"`, `"xyzzy"`, `secret`,
			`the xyzzy said`).Replace(string(x.body))
		rec.play(x, events([]byte(body)), fmt.Errorf("upstream said xyzzy: %w", ErrUpstreamCut))
	}
	for _, s := range rec.spans.GetSpans() {
		if text := fmt.Sprintf("%+v", s); strings.Contains(text, word) {
			t.Errorf("span tells the text: %s", text)
		}
	}
}

func TestMetrics(t *testing.T) {
	reader := metric.NewManualReader()
	mp := metric.NewMeterProvider(metric.WithReader(reader))
	rec := newRecording(t, WithMeterProvider(mp))
	x := capture(t, "llamacpp-http/chat-stream-usage")
	rec.play(x, events(x.body), nil)
	rec.play(x, events(x.body)[:2], ErrClientGone)
	rec.play(exchange{path: "/v1/embeddings", request: []byte(`{"model":"e"}`), status: 429}, nil, nil)
	rec.play(exchange{path: "/health", status: 200}, nil, nil)

	var data metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &data); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, m := range data.ScopeMetrics[0].Metrics {
		switch d := m.Data.(type) {
		case metricdata.Histogram[float64]:
			for _, p := range d.DataPoints {
				e, _ := p.Attributes.Value(AttrErrorType)
				got[m.Name+" "+e.String()] = fmt.Sprintf("%d × %.3f%s", p.Count, p.Sum, m.Unit)
			}
		case metricdata.Histogram[int64]:
			got[m.Name] = fmt.Sprintf("%d × %d%s", d.DataPoints[0].Count, d.DataPoints[0].Sum, m.Unit)
		case metricdata.Sum[int64]:
			got[m.Name] = fmt.Sprintf("%d%s", d.DataPoints[0].Value, m.Unit)
		}
	}
	want := map[string]string{
		"gen_ai.client.inference.duration ":                     "1 × 0.110s",
		"gen_ai.client.inference.duration client_gone":          "1 × 0.040s",
		"gen_ai.client.inference.time_to_first_chunk ":          "2 × 0.040s",
		"gen_ai.client.inference.time_per_output_chunk ":        "6 × 0.060s",
		"gen_ai.client.inference.operation.input_tokens":        "1 × 21{token}",
		"gen_ai.client.inference.operation.output_tokens":       "1 × 8{token}",
		"gen_ai.client.inference.usage.input_tokens":            "21{token}",
		"gen_ai.client.inference.usage.output_tokens":           "8{token}",
		"gen_ai.client.inference.usage.cache_read.input_tokens": "20{token}",
		"gen_ai.client.operation.duration 429":                  "1 × 0.020s",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("metrics\n%v\nwant\n%v", got, want)
	}
}

// TestUnsampled shows that marks are there though no span is.
func TestUnsampled(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans), sdktrace.WithSampler(sdktrace.NeverSample()))
	defer func() { _ = tp.Shutdown(context.Background()) }()
	x := capture(t, "llamacpp-http/chat-stream-usage")
	r := recording{NewRecorder(WithTracerProvider(tp)), spans}.play(x, events(x.body), nil)
	if m := r.Marks(); index(m.FirstToken) != 0 || len(spans.GetSpans()) != 0 {
		t.Errorf("marks %+v, %d spans", m, len(spans.GetSpans()))
	}
}

// TestSamplersSeeTheRequest asks for the attributes that are there when the span starts.
func TestSamplersSeeTheRequest(t *testing.T) {
	var seen []attribute.KeyValue
	tp := sdktrace.NewTracerProvider(sdktrace.WithSampler(samplerFunc(func(p sdktrace.SamplingParameters) { seen = p.Attributes })))
	defer func() { _ = tp.Shutdown(context.Background()) }()
	NewRequest(context.Background(), RequestInfo{Method: "POST", Path: chatPath, Body: []byte(`{"model":"m"}`),
		ServerAddress: "h", ServerPort: 1},
		WithTracerProvider(tp)).End(nil)
	for _, want := range []attribute.KeyValue{
		attribute.String(AttrOperationName, "chat"), attribute.String(AttrProviderName, "openai"),
		attribute.String(AttrRequestModel, "m"),
		attribute.String(AttrServerAddress, "h"), attribute.Int(AttrServerPort, 1),
	} {
		if !slices.Contains(seen, want) {
			t.Errorf("the sampler did not see %s", want.Key)
		}
	}
}

type samplerFunc func(sdktrace.SamplingParameters)

func (f samplerFunc) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	f(p)
	return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
}

func (samplerFunc) Description() string { return "test" }
