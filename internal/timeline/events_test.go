package timeline

import (
	"slices"
	"testing"

	"forkspan.dev/forkspan/internal/otlp"
)

// An unfinished span lasts at least until the last of its events, and so does one around it in the same process.
func TestEventsAreSignsOfLife(t *testing.T) {
	body, err := otlp.FromJSON([]byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[
		{"traceId":"01000000000000000000000000000000","spanId":"0200000000000000","name":"outer","startTimeUnixNano":"1767225600000000000"},
		{"traceId":"01000000000000000000000000000000","spanId":"0300000000000000","parentSpanId":"0200000000000000","name":"inner",
			"startTimeUnixNano":"1767225601000000000","events":[
			{"name":"x","timeUnixNano":"1767225607000000000"},{"name":"y","timeUnixNano":"1767225604000000000"}]},
		{"traceId":"01000000000000000000000000000000","spanId":"0400000000000000","parentSpanId":"0200000000000000","name":"whole",
			"startTimeUnixNano":"1767225601000000000","endTimeUnixNano":"1767225602000000000","events":[
			{"name":"z","timeUnixNano":"1767225609000000000"}]}]}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	spans, err := otlp.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{"outer": 7e9, "inner": 6e9, "whole": 1e9}
	for _, row := range Build(spans, Options{All: true}).Rows {
		if row.Duration != want[row.Name] {
			t.Errorf("%s: %d ns, want %d", row.Name, row.Duration, want[row.Name])
		}
	}
}

// Of an unfinished span the record that knows of the most events is drawn, in whatever order they came; a finished one goes before.
func TestUnfinishedSpansWithEvents(t *testing.T) {
	decode := func(rest string) otlp.Span {
		body, err := otlp.FromJSON([]byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"01000000000000000000000000000000",
			"spanId":"0200000000000000","name":"a","startTimeUnixNano":"1767225600000000000"` + rest + `}]}]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		spans, err := otlp.Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		return spans[0]
	}
	begun := decode(``)
	one := decode(`,"events":[{"name":"x"}]`)
	two := decode(`,"events":[{"name":"x"},{"name":"y"}]`)
	whole := decode(`,"endTimeUnixNano":"1767225601000000000"`)
	process := &otlp.Process{Service: "s"}
	for _, s := range []*otlp.Span{&begun, &one, &two, &whole} {
		s.Process = process
	}
	for _, test := range []struct {
		spans  []otlp.Span
		events int
	}{
		{[]otlp.Span{begun, one, two}, 2}, {[]otlp.Span{two, begun, one}, 2}, {[]otlp.Span{one, two, begun}, 2},
		{[]otlp.Span{two, whole}, 0}, {[]otlp.Span{whole, two}, 0},
	} {
		tl := Build(slices.Clone(test.spans), Options{})
		if len(tl.Rows) != 1 || len(tl.Rows[0].Span.Events()) != test.events {
			t.Errorf("%d rows, want one with %d events", len(tl.Rows), test.events)
		}
	}
}
