package cli

import (
	"context"
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

// Also where nothing but summaries is read, the beginning of a span and its whole are one span.
func TestListRunCountsBeginningsOnce(t *testing.T) {
	ctx := context.Background()
	db, err := store.Open(ctx, store.Memory, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	run := store.Run{ID: store.NewRunID(), Kind: "run", Start: time.Unix(0, 1), End: time.Unix(0, 9)}
	if err := db.PutRun(ctx, run); err != nil {
		t.Fatal(err)
	}
	span := func(id byte, end int64) commandspan.Span {
		return commandspan.Span{TraceID: otlp.TraceID{1}, SpanID: otlp.SpanID{id}, Name: "s", Start: 1, End: end}
	}
	add := func(process bool, spans ...commandspan.Span) {
		body := commandspan.Encode(nil, "", spans...)
		_, sum, _, _, err := otlp.Scan(body)
		if err != nil {
			t.Fatal(err)
		}
		if !process {
			sum.Processes = nil
		}
		if err := db.Append(ctx, run.ID, body, sum); err != nil {
			t.Fatal(err)
		}
	}
	add(false, span(1, 0), span(2, 0)) // the command and its start-up
	add(true, span(3, 5), span(4, 5))
	add(false, span(5, 0)) // of a forkspan inside that was killed
	add(false, span(2, 6))
	add(false, span(1, 9))
	for _, budget := range []int64{0, 100} {
		got, err := listRun(ctx, db, run, &budget)
		if err != nil {
			t.Fatal(err)
		}
		if got.spans != 5 {
			t.Errorf("%d spans, want 5 (requests %d)", got.spans, got.requests)
		}
	}
	infos, err := db.Traces(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	traces, err := summarize(ctx, db, infos)
	if err != nil {
		t.Fatal(err)
	}
	if len(traces) != 1 || traces[0].spans != 5 {
		t.Errorf("the list of all traces: %+v, want one of 5 spans", traces)
	}
}
