package timeline

import (
	"fmt"
	"strings"
	"testing"

	"forkspan.dev/forkspan/internal/otlp"
)

// TestRequestsToModels tells a client's requests to models from its other calls, by their attributes alone.
func TestRequestsToModels(t *testing.T) {
	const span = `{"traceId":"0af7651916cd43dd8448eb211c80319%d","spanId":"b7ad6b716920333%[1]d","kind":%d,"name":"%s",
		"startTimeUnixNano":"%d","endTimeUnixNano":"1700000009000000000","attributes":[%s]}`
	const ttft = `{"key":"gen_ai.latency.time_to_first_token","value":{"doubleValue":0.25}}`
	chat := `{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}}`
	body, err := otlp.FromJSON([]byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[` + strings.Join([]string{
		fmt.Sprintf(span, 1, 1, "start", int64(1_700_000_000_000_000_000), ""),
		fmt.Sprintf(span, 2, 3, "download", int64(1_700_000_001_000_000_000), ""),
		fmt.Sprintf(span, 3, 3, "chat", int64(1_700_000_002_000_000_000), chat+","+ttft),
		fmt.Sprintf(span, 4, 1, "ChatOpenAI", int64(1_700_000_003_000_000_000), chat),
	}, ",") + `]}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	spans, err := otlp.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	tl := Build(spans, Options{All: true})
	if got, want := outline(tl), "start\ndownload\nrequests x2\n chat\n ChatOpenAI\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	rows := tl.RequestRows()
	if tl.Requests != 2 || len(rows) != 2 || rows[0].FirstToken != 250_000_000 || rows[1].FirstToken != 0 {
		t.Errorf("%d requests, rows %+v", tl.Requests, rows)
	}
}

// The median of requests is that of the reports, by nearest rank: of two it is not the slower one.
func TestMedianOfRequests(t *testing.T) {
	for _, test := range []struct {
		ends []int // seconds after 1
		want int64
	}{
		{[]int{5, 3}, 3}, {[]int{9, 3, 4}, 4}, {[]int{6, 5, 4, 3, 2, 1}, 3},
	} {
		text := "1 - api start 0 1\n"
		for i, end := range test.ends {
			text += fmt.Sprintf("%d - api request 1 %d server trace=%[1]d\n", i+2, 1+end)
		}
		rows := Build(parseSpans(t, text), Options{}).Rows
		if last := rows[len(rows)-1]; last.Kind != RequestsRow || last.Median != test.want*1e9 {
			t.Errorf("%v: the last row is %+v, want a median of %d s", test.ends, last, test.want)
		}
	}
}

// TestCapturedRequest is vLLM's request without headers: a child of what its environment named at its start.
func TestCapturedRequest(t *testing.T) {
	parent := otlp.SpanID{0x12, 0x34, 0x56, 0x78, 0x90, 0xab, 0xcd, 0xef}
	for _, opts := range []Options{{}, {AmbientParents: []otlp.SpanID{parent}}} {
		opts.All = true
		tl := Build(capture(t, "vllm-serve-tp2-api2"), opts)
		rows := tl.RequestRows()
		if tl.Requests != 1 || len(rows) != 1 || rows[0].Name != "llm_request" || rows[0].Span.ParentID != parent ||
			rows[0].FirstToken == 0 || rows[0].MissingParent {
			t.Errorf("%d requests, rows %+v", tl.Requests, rows)
		}
	}
	// The same with the start-up span that the environment named, which has ended.
	spans := capture(t, "vllm-serve-tp2-api2")
	start := otlp.Span{TraceID: spans[0].TraceID, SpanID: parent, Name: "start", Kind: otlp.KindInternal, Process: spans[0].Process}
	for i := range spans {
		if spans[i].Kind == otlp.KindInternal {
			start.Start, start.End = spans[i].Start, max(start.End, spans[i].End)
		}
	}
	if tl := Build(append(spans, start), Options{}); tl.Requests != 1 {
		t.Errorf("%d requests below a start-up span that has ended", tl.Requests)
	}
}
