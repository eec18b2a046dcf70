package journal_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"forkspan.dev/forkspan/journal"
)

// poll returns what a Tail says was added.
func poll(t testing.TB, tail *journal.Tail) (c contents) {
	t.Helper()
	added, err := tail.Poll()
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range added {
		c.add(t, j)
	}
	return c
}

func TestTail(t *testing.T) {
	for _, opts := range [][]journal.Option{nil, {journal.WithPlainWrites()}} {
		dir := t.TempDir()
		tail := journal.NewTail(dir)
		if got := poll(t, tail); got.journals != nil {
			t.Errorf("got %+v", got)
		}
		const most = 64 << 10
		w := create(t, dir, append(opts, journal.WithSegmentSize(4<<10), journal.WithMaxSize(most))...)
		tracer := provider(w).Tracer("s")
		record(tracer, "a")
		_, open := tracer.Start(t.Context(), "open")
		if got := poll(t, tail); names(got.finished) != "a" || names(got.unfinished) != "open" || !got.journals[0].Alive {
			t.Errorf("finished: %s, unfinished: %s", names(got.finished), names(got.unfinished))
		}
		if got := poll(t, tail); got.journals != nil {
			t.Errorf("twice: %+v", got.journals)
		}
		// Many times what fits, since what was read is used again.
		for range 200 {
			for range 5 {
				record(tracer, "b")
			}
			if got := poll(t, tail); names(got.finished) != "b b b b b" || len(got.unfinished) != 0 {
				t.Fatalf("finished: %s, unfinished: %s", names(got.finished), names(got.unfinished))
			}
			if err := tail.Consume(); err != nil {
				t.Fatal(err)
			}
		}
		open.End()
		if s := w.Stats(); s.Lost != 0 || s.Size > most {
			t.Errorf("stats %+v: %v", s, w.Err())
		}
		_ = w.Shutdown(t.Context())
		got := poll(t, tail)
		if names(got.finished) != "open" || len(got.unfinished) != 0 || got.journals[0].Alive || got.damaged != 0 {
			t.Errorf("finished: %s, unfinished: %s", names(got.finished), names(got.unfinished))
		}
		if err := got.journals[0].Remove(); err != nil {
			t.Error(err)
		}
		if got := poll(t, tail); got.journals != nil || files(t, dir) != nil {
			t.Errorf("left: %v", files(t, dir))
		}
	}
}

// What cannot be read of a dead process is told, not passed over.
func TestTailOfHeadersThatAreNone(t *testing.T) {
	whole := journal.Segment(nobody, journal.Boot(), 1, spanRecord(kindEnd, "a", 1))
	damaged := journal.Segment(nobody, journal.Boot(), 2, spanRecord(kindEnd, "b", 1))
	damaged[16]++ // the pid
	dir := t.TempDir()
	write(t, dir, whole, damaged)
	tail := journal.NewTail(dir)
	for range 2 {
		if got := poll(t, tail); len(got.journals) != 1 || got.damaged != 1 {
			t.Errorf("%d journals, %d damaged", len(got.journals), got.damaged)
		}
	}

	newer := journal.Segment(nobody, journal.Boot(), 2, spanRecord(kindEnd, "b", 1))
	newer[8]++ // the version
	dir = t.TempDir()
	write(t, dir, whole, newer)
	added, err := journal.NewTail(dir).Poll()
	if err == nil || !strings.Contains(err.Error(), "newer format") {
		t.Errorf("error %v", err)
	}
	if len(added) != 1 || added[0].Finished != 1 {
		t.Errorf("%+v", added)
	}
}

// A start that its writer carries on, since the span is open for so long, is that of a span that was returned before.
func TestTailOfCarriedStarts(t *testing.T) {
	dir := t.TempDir()
	tail := journal.NewTail(dir)
	live := func(sequence uint32, records ...[]byte) []byte {
		return journal.Segment(os.Getpid(), journal.Boot(), sequence, records...)
	}
	write(t, dir, live(1, spanRecord(kindStart, "a", 1)))
	if got := poll(t, tail); names(got.unfinished) != "a" || tail.Open() != 1 {
		t.Errorf("unfinished: %s, %d open", names(got.unfinished), tail.Open())
	}
	write(t, dir, live(1, spanRecord(kindStart, "a", 1)), live(2, spanRecord(carried, "a", 1)))
	if got := poll(t, tail); len(got.unfinished) != 0 || tail.Open() != 1 {
		t.Errorf("unfinished: %s, %d open", names(got.unfinished), tail.Open())
	}
	write(t, dir, live(1, spanRecord(kindStart, "a", 1)), live(2, spanRecord(carried, "a", 1), spanRecord(kindEnd, "a", 1)))
	if got := poll(t, tail); names(got.finished) != "a" || tail.Open() != 0 {
		t.Errorf("finished: %s, %d open", names(got.finished), tail.Open())
	}
}

// An end may refer to a start that was read long ago, with other records after it.
func TestTailOfRests(t *testing.T) {
	for _, between := range [][]byte{nil, spanRecord(kindEnd, strings.Repeat("b", 100<<10), 2)} {
		for _, name := range []string{"a", strings.Repeat("a", 10<<10)} {
			dir := t.TempDir()
			tail := journal.NewTail(dir)
			live := func(records ...[]byte) { write(t, dir, journal.Segment(os.Getpid(), journal.Boot(), 1, records...)) }
			live(spanRecord(kindStart, name, 1), between)
			if got := poll(t, tail); names(got.unfinished) != name {
				t.Errorf("unfinished: %.50s", names(got.unfinished))
			}
			live(spanRecord(kindStart, name, 1), between, restRecord(0))
			if got := poll(t, tail); names(got.finished) != name || got.finished[0].EndTimeUnixNano != 1 || tail.Open() != 0 {
				t.Errorf("finished: %.50s, %d open", names(got.finished), tail.Open())
			}
		}
	}
}

// FuzzTail writes records of a live process, each byte one, and looks at them now and then. What a Tail has returned by the end
// is what one who reads all at once finds.
func FuzzTail(f *testing.F) {
	const (
		startOf, endOf, carriedOf = 0, 1, 2 // of the span whose number is in the bits above
		look                      = 3       // with 4, in the next segment from then on
		refer                     = 0x10    // with endOf: to the last start in the segment
	)
	f.Add([]byte{startOf, look, refer | endOf, look, 4 | carriedOf, refer | endOf})
	f.Add([]byte{startOf, look, endOf})
	f.Add([]byte{startOf, look, startOf, endOf})
	f.Add([]byte{startOf, 4 | startOf, 4 | look, carriedOf, look, 4 | endOf, look, endOf})
	f.Fuzz(func(t *testing.T, ops []byte) {
		const most = 64 // each look reads all segments
		ops = ops[:min(len(ops), most)]
		dir := t.TempDir()
		tail := journal.NewTail(dir)
		var got contents
		records := [][][]byte{nil}
		flush := func() {
			segments := make([][]byte, len(records))
			for i, list := range records {
				segments[i] = journal.Segment(os.Getpid(), journal.Boot(), uint32(i+1), list...)
			}
			write(t, dir, segments...)
			more := poll(t, tail)
			got.finished, got.unfinished = append(got.finished, more.finished...), append(got.unfinished, more.unfinished...)
		}
		for i, op := range ops {
			name, number := fmt.Sprint(i), op>>2%4+1
			last := &records[len(records)-1]
			switch op % 4 {
			case startOf:
				*last = append(*last, spanRecord(kindStart, name, number))
			case endOf:
				if at := lastStart(*last); op&refer != 0 && at >= 0 {
					*last = append(*last, restRecord(at))
					continue
				}
				*last = append(*last, spanRecord(kindEnd, name, number))
			case carriedOf:
				*last = append(*last, spanRecord(carried, name, number))
			case look:
				flush()
				if op&4 != 0 {
					records = append(records, nil)
				}
			}
		}
		flush()
		all := readAll(t, dir)
		if names(got.finished) != names(all.finished) || tail.Open() != len(all.unfinished) {
			t.Errorf("finished: %s, not %s; %d open, not %d", names(got.finished), names(all.finished), tail.Open(), len(all.unfinished))
		}
		returned := map[string]bool{}
		for _, s := range got.unfinished {
			if returned[s.Name] {
				t.Errorf("%s twice", s.Name)
			}
			returned[s.Name] = true
		}
		for _, s := range all.unfinished {
			if !returned[s.Name] {
				t.Errorf("the start %s is missing", s.Name)
			}
		}
	})
}

// lastStart is where the last start is of a span in records that no rest refers to; -1 when there is none.
func lastStart(records [][]byte) int {
	const kind = 9
	at, last := 0, -1
	for _, r := range records {
		switch r[kind] {
		case kindStart, carried:
			last = at
		case kindRest:
			last = -1
		}
		at += len(r)
	}
	return last
}
