package spanfile

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

// spanJSON is an OTLP JSON request of spans with these ids and ends, of one process.
func spanJSON(pid int, ends ...[2]int) []byte {
	spans := ""
	for i, s := range ends {
		if i > 0 {
			spans += ","
		}
		spans += fmt.Sprintf(`{"traceId":"00000000000000000000000000000001","spanId":"%016x","name":"%d of %d","startTimeUnixNano":"1","endTimeUnixNano":"%d"}`,
			s[0], s[0], pid, s[1])
	}
	return fmt.Appendf(nil, `{"resourceSpans":[{"resource":{"attributes":[{"key":"process.pid","value":{"intValue":"%d"}}]},"scopeSpans":[{"spans":[%s]}]}]}`,
		pid, spans)
}

// The beginnings of spans are left out of a file that has them whole, rank by rank; the others are in it.
func TestAddRunBeginnings(t *testing.T) {
	var bodies [][]byte
	for _, text := range [][]byte{
		spanJSON(7, [2]int{1, 0}, [2]int{2, 0}), // 1 ends, 2 never does
		spanJSON(8, [2]int{1, 0}),               // another rank's, with the same id
		spanJSON(7, [2]int{3, 0}),
		spanJSON(7, [2]int{1, 9}, [2]int{3, 8}),
	} {
		body, err := otlp.FromJSON(text)
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, body)
	}
	requests := func() iter.Seq2[store.Request, error] {
		return func(yield func(store.Request, error) bool) {
			for _, body := range bodies {
				if !yield(store.Request{Body: body}, nil) {
					return
				}
			}
		}
	}
	var file bytes.Buffer
	w, err := NewWriter(&file, "a.pb", FormatProtobuf)
	if err != nil {
		t.Fatal(err)
	}
	run := store.Run{ID: store.NewRunID(), Kind: "run", Start: time.Unix(1, 0)}
	if err := w.AddRun(run, nil, requests); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	var got []string
	r := Reader{Request: func(body []byte, _ otlp.Summary) error {
		spans, err := otlp.Decode(body)
		for _, s := range spans {
			got = append(got, fmt.Sprintf("%s until %d", s.Name, s.End))
		}
		return err
	}}
	if err := r.Read(&file); err != nil || len(r.Problems) > 0 {
		t.Fatal(err, r.Problems)
	}
	want := []string{"2 of 7 until 0", "1 of 8 until 0", "1 of 7 until 9", "3 of 7 until 8"}
	if !slices.Equal(got, want) || w.Spans != len(want) {
		t.Errorf("%d spans: %q, want %q", w.Spans, got, want)
	}
}
