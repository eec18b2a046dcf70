package journal

import (
	"math/rand/v2"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// namedSpan is a span of an exporter's test: the same object as what ended, or a copy of it, which cannot be compared.
type namedSpan struct {
	sdktrace.ReadOnlySpan
	_ []int // it cannot be compared
}

// Whatever the order in which spans end and are exported, each export gets the record of that very span, once.
func TestOwed(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		o := newOwed()
		type open struct {
			hash uint64
			at   place
		}
		var opened []open
		type ended struct {
			open
			span sdktrace.ReadOnlySpan
		}
		var waiting []ended // for an export
		offset := 0
		newPlace := func() place { offset++; return place{&segment{}, offset} }
		for range 20_000 {
			switch r.IntN(8) {
			case 0, 1, 2:
				s := open{r.Uint64(), newPlace()}
				if before := o.open.put(s.hash, &draft{at: s.at}); before != nil {
					t.Fatal("a new span has replaced another")
				}
				opened = append(opened, s)
			case 3, 4, 5:
				s := open{hash: r.Uint64()} // without a start
				var want place
				if n := len(opened); n > 0 && r.IntN(10) > 0 {
					i := r.IntN(n)
					s, want = opened[i], opened[i].at
					opened[i] = opened[n-1]
					opened = opened[:n-1]
				}
				s.at = newPlace()
				e := ended{s, &namedSpan{}}
				got := place{}
				if d := o.open.take(s.hash); d != nil {
					got = d.at
				}
				if got != want {
					t.Fatalf("the start was %v, want %v", got, want)
				}
				o.end(s.hash, s.at, e.span)
				waiting = append(waiting, e)
			case 6: // the next ones, mostly; exports that fail leave theirs behind
				for range r.IntN(6) {
					if len(waiting) == 0 {
						break
					}
					i := 0
					if r.IntN(4) == 0 {
						i = r.IntN(len(waiting))
					}
					e := waiting[i]
					waiting = append(waiting[:i], waiting[i+1:]...)
					span := e.span
					if seed%4 == 0 {
						span = namedSpan{}
					}
					got, ok := o.take(span)
					if !ok {
						got, ok = o.takeByHash(e.hash)
					}
					if !ok || got != e.at {
						t.Fatalf("seed %d: got %v %t, want %v", seed, got, ok, e.at)
					}
					if again, ok := o.takeByHash(e.hash); ok {
						t.Fatalf("taken twice: %v", again)
					}
				}
			case 7:
				if at, ok := o.takeByHash(r.Uint64()); ok {
					t.Fatalf("%v was never recorded", at)
				}
			}
		}
		held := len(o.stray) - len(waiting)
		for _, e := range o.ended[o.head:] {
			if e.segment != nil {
				held++
			}
		}
		n := 0
		for range o.open.all() {
			n++
		}
		if held != 0 || n != len(opened) || o.open.n != len(opened) || len(o.ended)-o.head > mostEnded {
			t.Fatalf("%d held too many, %d open of %d", held, n, len(opened))
		}
	}
}

// Of two open spans with the same ids the later is known, wherever the first was kept.
func TestOpenTwice(t *testing.T) {
	const hash = 1
	for _, full := range []bool{false, true} {
		o := newOpenSpans()
		if full {
			o.put(hash+openSlots, &draft{})
		}
		first, second := &draft{}, &draft{}
		if before := o.put(hash, first); before != nil {
			t.Errorf("replaced %v", before)
		}
		if full {
			o.take(hash + openSlots)
		}
		if before := o.put(hash, second); before != first || o.n != 1 {
			t.Errorf("replaced %v, %d open", before, o.n)
		}
		if d := o.take(hash); d != second || o.take(hash) != nil || o.n != 0 {
			t.Errorf("%v, %d open", d, o.n)
		}
	}
}

// Spans with the same ids, as those of ranks that were forked, are as many as there were.
func TestOwedTwice(t *testing.T) {
	for _, passedOver := range []bool{false, true} {
		o := newOwed()
		for i := range 3 {
			o.end(1, place{&segment{}, i}, &namedSpan{})
			o.end(uint64(10+i), place{&segment{}, 10 + i}, &namedSpan{})
		}
		if passedOver {
			o.takeByHash(2)
		}
		for i := range 4 {
			if at, ok := o.takeByHash(1); ok != (i < 3) || ok && at.offset != i {
				t.Errorf("%t, %d: %v %t", passedOver, i, at, ok)
			}
		}
	}
}

// Spans that no exporter ever takes are let go of, except for where they are.
func TestOwedWithoutExports(t *testing.T) {
	o := newOwed()
	for i := range uint64(10 * mostEnded) {
		o.end(i, place{&segment{}, int(i)}, &namedSpan{})
	}
	if n := len(o.ended) - o.head; n > 2*mostEnded || len(o.stray)+n != 10*mostEnded {
		t.Errorf("%d spans are held, %d places", n, len(o.stray)+n)
	}
	for i := range uint64(10 * mostEnded) {
		if at, ok := o.takeByHash(i); !ok || at.offset != int(i) {
			t.Fatalf("span %d is at %v", i, at)
		}
	}
}
