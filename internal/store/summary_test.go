package store

import (
	"math"
	"reflect"
	"testing"

	"forkspan.dev/forkspan/internal/otlp"
)

func TestSummaryRoundTrip(t *testing.T) {
	many := otlp.Summary{Spans: 40}
	for i := range 40 {
		many.Traces = append(many.Traces, otlp.TraceSummary{TraceID: otlp.TraceID{byte(i), 1}, Spans: 1, Root: string(rune('A' + i%30))})
	}
	for name, want := range map[string]otlp.Summary{
		"empty": {},
		"full": {Spans: 9, Traces: []otlp.TraceSummary{
			{TraceID: otlp.TraceID{1}, Spans: 4, Start: 1_800_000_000_000_000_000, End: 1_800_000_001_000_000_000, Root: "startup", Errors: 2},
			{TraceID: otlp.TraceID{2}, Spans: 2, Start: 1_800_000_000_500_000_000, Root: "startup"},
			{TraceID: otlp.TraceID{3}, Spans: 1, Start: 1_700_000_000_000_000_000, End: 1},
			{TraceID: otlp.TraceID{4}, Spans: 1, Start: math.MaxInt64, End: math.MaxInt64},
			{TraceID: otlp.TraceID{5}, Spans: 1, Start: 0, End: math.MaxInt64},
		}, Processes: []otlp.ProcessSummary{
			{Service: "vllm", InstanceID: "dff2", Kind: "worker", Name: "Worker_0", RunID: "7K3F", PID: 7317, Spans: 8},
			{Spans: 1},
		}},
		"many names": many,
	} {
		b := appendSummary(nil, &want)
		got, err := decodeSummary(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(got.Traces) == 0 {
			got.Traces = nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got  %+v\nwant %+v", name, got, want)
		}
		for n := range len(b) {
			if _, err := decodeSummary(b[:n]); err == nil {
				t.Errorf("%s: the first %d of %d bytes pass for a summary", name, n, len(b))
			}
		}
	}
}

// FuzzSummary reads what a damaged file may hold: no panic, no memory beyond what the bytes can stand for.
func FuzzSummary(f *testing.F) {
	f.Add(appendSummary(nil, &otlp.Summary{Spans: 1, Traces: []otlp.TraceSummary{{TraceID: otlp.TraceID{1}, Spans: 1, Root: "r"}}}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		sum, err := decodeSummary(b)
		if err == nil && len(sum.Traces)*16 > len(b) {
			t.Errorf("%d traces from %d bytes", len(sum.Traces), len(b))
		}
	})
}
