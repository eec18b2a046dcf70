package otlp

import (
	"slices"
	"testing"
)

func TestPick(t *testing.T) {
	var body []byte
	for _, names := range [][]string{{"a", "b"}, {"c"}} {
		var scoped []byte
		for _, name := range names {
			span := appendBytes(nil, 1, slices.Repeat([]byte{1}, 16))
			span = appendBytes(span, 2, slices.Repeat([]byte{2}, 8))
			span = appendBytes(span, 5, []byte(name))
			scoped = appendBytes(scoped, scopeSpansSpans, span)
		}
		body = append(body, appendBytes(nil, requestResourceSpans, appendBytes(nil, resourceSpansScopes, scoped))...)
	}
	for _, want := range [][]string{nil, {"a", "b", "c"}, {"b", "c"}, {"a"}, {"c"}} {
		all, err := Decode(body)
		if err != nil || len(all) != 3 {
			t.Fatalf("%d spans, %v", len(all), err)
		}
		spans, err := Decode(Pick(body, func(i int) bool { return slices.Contains(want, all[i].Name) }))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range spans {
			got = append(got, s.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}
