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
		refused := false
		send := func(body []byte) (bool, error) {
			if requests++; requests%2 == 0 {
				refused = true
				return false, nil
			}
			for _, s := range spansOf(decode(t, body)) {
				got = append(got, s.Name)
			}
			return true, nil
		}
		tries := 0
		for ; tries < 10 && len(files(t, dir)) > 0; tries++ {
			err := journal.Recover(t.Context(), dir, func(j *journal.Journal) error {
				refused = false
				if err := errors.Join(j.Deliver(send), j.DeliverUnfinished(send)); err != nil || !refused {
					return err
				}
				return later
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

// A writer that dies while it carries a start on leaves two of them: both have been taken.
func TestDeliverCarried(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, journal.Segment(nobody, journal.Boot(), 1, spanRecord(kindStart, "a", 1)),
		journal.Segment(nobody, journal.Boot(), 2, spanRecord(carried, "a", 1)))
	later := errors.New("later")
	for _, want := range []int{1, 0} {
		got := 0
		err := journal.Recover(t.Context(), dir, func(j *journal.Journal) error {
			got = j.Unfinished
			return errors.Join(j.DeliverUnfinished(func([]byte) (bool, error) { return true, nil }), later)
		})
		if got != want || err != nil && !errors.Is(err, later) {
			t.Errorf("%d unfinished, want %d: %v", got, want, err)
		}
	}
}
