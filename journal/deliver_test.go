package journal_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"forkspan.dev/forkspan/journal"
)

// What was taken does not come again, however often the rest has to wait.
func TestDeliver(t *testing.T) {
	const spans, open = 1300, 600 // of 512 in a request
	for _, opts := range [][]journal.Option{{journal.WithSegmentSize(16 << 10)}, {journal.WithPlainWrites()}} {
		dir := t.TempDir()
		w := create(t, dir, opts...)
		tracer := provider(w).Tracer("s")
		var want []string
		for i := range spans {
			record(tracer, fmt.Sprint(i))
			want = append(want, fmt.Sprint(i))
		}
		for i := range open {
			_, _ = tracer.Start(t.Context(), fmt.Sprint("open ", i))
			want = append(want, fmt.Sprint("open ", i))
		}
		if err := w.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []string
		later := errors.New("later")
		requests := 0
		send := func(body []byte) error {
			if requests++; requests%2 == 0 {
				return later
			}
			for _, s := range spansOf(decode(t, body)) {
				got = append(got, s.Name)
			}
			return nil
		}
		tries := 0
		for ; tries < 10 && len(files(t, dir)) > 0; tries++ {
			err := journal.Recover(t.Context(), dir, func(j *journal.Journal) error {
				return errors.Join(j.Deliver(send), j.DeliverUnfinished(send))
			})
			if err != nil && !errors.Is(err, later) {
				t.Fatal(err)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) || tries != 4 { // the second request is refused three times
			t.Errorf("%d spans of %d came in %d tries", len(got), len(want), tries)
		}
	}
}
