package journal_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"forkspan.dev/forkspan/journal"
	"google.golang.org/protobuf/encoding/protowire"
)

// The kinds of records.
const (
	kindStart = 1
	kindEnd   = 2
	carried   = 4
	kindRest  = 5
)

// spanRecord is a record of a small span.
func spanRecord(kind byte, name string, number byte) []byte {
	var b []byte
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	b = protowire.AppendBytes(b, append(make([]byte, 15), 1))
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendBytes(b, append(make([]byte, 7), number))
	b = protowire.AppendTag(b, 5, protowire.BytesType)
	b = protowire.AppendString(b, name)
	b = protowire.AppendTag(b, 7, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, uint64(number))
	return journal.Record(kind, 0, b)
}

// restRecord is the record of the end of a span whose start is the given number of bytes behind the header.
func restRecord(start int) []byte {
	b := protowire.AppendTag(nil, 8, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, 1)
	return journal.Record(kindRest, 0, binary.LittleEndian.AppendUint32(b, uint32(len(journal.Segment(0, [16]byte{}, 1))+start)))
}

// nobody is a pid that no process has: above the highest that Linux allows.
const nobody = 1<<22 + 1

// write puts segments of one writer into a folder.
func write(t testing.TB, dir string, segments ...[]byte) {
	t.Helper()
	for i, b := range segments {
		name := fmt.Sprintf("%d-00.%06d.journal", nobody, i)
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRecordsAreMerged(t *testing.T) {
	start, end := byte(kindStart), byte(kindEnd)
	done := func(b []byte) []byte { b[8] = 1; return b }
	size := len(spanRecord(start, "a", 1))
	damage := func(b []byte) []byte { b[len(b)-9] ^= 0x40; return b }
	for _, test := range []struct {
		name                 string
		segments             [][][]byte
		finished, unfinished string
		damaged              int
	}{
		{"a start and its end", [][][]byte{{spanRecord(start, "a", 1), spanRecord(end, "a", 1)}}, "a", "", 0},
		{"a start alone", [][][]byte{{spanRecord(start, "a", 1), spanRecord(start, "b", 2), spanRecord(end, "b", 2)}}, "b", "a", 0},
		{"an end alone", [][][]byte{{spanRecord(end, "a", 1)}}, "a", "", 0},
		{"over two segments", [][][]byte{{spanRecord(start, "a", 1)}, {spanRecord(end, "a", 1)}}, "a", "", 0},
		{"the same id twice", [][][]byte{{spanRecord(start, "a", 1), spanRecord(start, "b", 1), spanRecord(end, "a", 1)}}, "a", "b", 0},
		{"started again after the end", [][][]byte{{spanRecord(end, "a", 1), spanRecord(start, "a", 1)}}, "a", "a", 0},
		{"a done start", [][][]byte{{done(spanRecord(start, "a", 1))}}, "", "", 0},
		{"a done end closes its start", [][][]byte{{spanRecord(start, "a", 1), done(spanRecord(end, "a", 1))}}, "", "", 0},
		{"a carried start", [][][]byte{{done(spanRecord(start, "a", 1))}, {spanRecord(carried, "a", 1)}}, "", "a", 0},
		{"a carried start whose first is still there", [][][]byte{{spanRecord(start, "a", 1)}, {spanRecord(carried, "a", 1)}}, "", "a", 0},
		{"a carried start and its end", [][][]byte{{spanRecord(start, "a", 1)}, {spanRecord(carried, "a", 1)},
			{spanRecord(end, "a", 1)}}, "a", "", 0},
		{"a carried start without its first, and its end", [][][]byte{{spanRecord(carried, "a", 1)}, {spanRecord(end, "a", 1)}}, "a", "", 0},
		{"a start and its rest", [][][]byte{{spanRecord(start, "a", 1), restRecord(0)}}, "a", "", 0},
		{"rests in another order", [][][]byte{{spanRecord(start, "a", 1), spanRecord(start, "b", 2), spanRecord(start, "c", 3),
			restRecord(size), restRecord(0)}}, "a b", "c", 0},
		{"a done rest closes its start", [][][]byte{{spanRecord(start, "a", 1), done(restRecord(0))}}, "", "", 0},
		{"a rest of a done start", [][][]byte{{done(spanRecord(start, "a", 1)), restRecord(0)}}, "a", "", 0},
		{"a rest of a carried start", [][][]byte{{done(spanRecord(start, "a", 1))}, {spanRecord(carried, "a", 1), restRecord(0)}}, "a", "", 0},
		{"a rest of an end", [][][]byte{{spanRecord(end, "a", 1), restRecord(0), spanRecord(end, "b", 2)}}, "a b", "", 1},
		{"a rest of the header", [][][]byte{{spanRecord(start, "a", 1), restRecord(-128)}}, "", "a", 1},
		{"a rest of what follows", [][][]byte{{restRecord(len(restRecord(0))), spanRecord(start, "a", 1)}}, "", "a", 1},
		{"a rest of what is far away", [][][]byte{{spanRecord(start, "a", 1), restRecord(1 << 30)}}, "", "a", 1},
		{"a rest of nothing", [][][]byte{{journal.Record(kindRest, 0, []byte{1}), spanRecord(start, "a", 1)}}, "", "a", 1},
		{"a kind from the future", [][][]byte{{spanRecord(99, "a", 1), spanRecord(end, "b", 2)}}, "b", "", 0},
		{"damage", [][][]byte{{spanRecord(end, "a", 1), damage(spanRecord(end, "b", 2)), spanRecord(end, "c", 3)},
			{spanRecord(end, "d", 4)}}, "a d", "", 1},
		{"no span inside", [][][]byte{{journal.Record(end, 0, []byte{0xff}), spanRecord(end, "b", 2)}}, "b", "", 1},
		{"death in the middle of a record", [][][]byte{{spanRecord(end, "a", 1), slices.Concat(make([]byte, 8),
			spanRecord(end, "b", 2)[8:])}}, "a", "", 0},
		{"nothing", [][][]byte{{}}, "", "", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			var segments [][]byte
			for i, records := range test.segments {
				segments = append(segments, journal.Segment(nobody, journal.Boot(), uint32(i+1), records...))
			}
			slices.Reverse(segments) // the order of the names does not matter
			write(t, dir, segments...)
			got := readAll(t, dir)
			if names(got.finished) != test.finished || names(got.unfinished) != test.unfinished || got.damaged != test.damaged {
				t.Errorf("finished: %s, unfinished: %s, %d damaged", names(got.finished), names(got.unfinished), got.damaged)
			}
		})
	}
}

func TestWhoIsAlive(t *testing.T) {
	rec := spanRecord(kindEnd, "a", 1)
	me, boot := os.Getpid(), journal.Boot()
	other := boot
	other[0] ^= 1
	reused := journal.Segment(me, boot, 1, rec)
	// The process with this pid began at another time.
	reused = journal.WithStart(reused, 1)
	for _, test := range []struct {
		name    string
		segment []byte
		alive   bool
	}{
		{"this process", journal.Segment(me, boot, 1, rec), true},
		{"a pid that nobody has", journal.Segment(nobody, boot, 1, rec), false},
		{"a pid that was given away again", reused, false},
		{"before the last boot", journal.Segment(me, other, 1, rec), other == boot},
		{"of another pid namespace, and not locked", journal.WithNamespace(journal.Segment(me, boot, 1, rec), 12345), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, test.segment)
			if got := readAll(t, dir); got.journals[0].Alive != test.alive || names(got.finished) != "a" {
				t.Errorf("%+v", got.journals[0])
			}
		})
	}
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	newer := journal.Segment(nobody, journal.Boot(), 1, spanRecord(kindEnd, "a", 1))
	newer[8] = 2 // the version
	write(t, dir, newer)
	for _, name := range []string{"README", "x.journal", "12.journal", "-1-00.000001.journal"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := files(t, dir)
	err := journal.Recover(t.Context(), dir, func(*journal.Journal) error {
		t.Error("something was recovered")
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "newer format") {
		t.Errorf("error %v", err)
	}
	if after := files(t, dir); !slices.Equal(before, after) {
		t.Errorf("%v are left of %v", after, before)
	}
}

func TestRecover(t *testing.T) {
	dir := t.TempDir()
	live := create(t, dir)
	record(provider(live).Tracer("s"), "live")
	write(t, dir, journal.Segment(nobody, journal.Boot(), 1, spanRecord(kindEnd, "dead", 1)))

	failed := errors.New("not now")
	err := journal.Recover(t.Context(), dir, func(j *journal.Journal) error {
		// Nobody else recovers meanwhile.
		if err := journal.Recover(t.Context(), dir, nil); !errors.Is(err, journal.ErrBusy) {
			t.Errorf("a second recovery: %v", err)
		}
		return failed
	})
	if !errors.Is(err, failed) || len(files(t, dir)) != 2 {
		t.Errorf("error %v, left: %v", err, files(t, dir))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := journal.Recover(ctx, dir, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	var got contents
	if err := journal.Recover(t.Context(), dir, func(j *journal.Journal) error { got.add(t, j); return nil }); err != nil {
		t.Error(err)
	}
	if names(got.finished) != "dead" || got.journals[0].PID != nobody || got.journals[0].LastSign.UnixNano() != 1 {
		t.Errorf("recovered: %s, %+v", names(got.finished), got.journals)
	}
	if left := files(t, dir); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
	if err := journal.Recover(t.Context(), filepath.Join(dir, "none"), nil); err != nil {
		t.Error(err)
	}
}

func TestRequestsAreOfBoundedSize(t *testing.T) {
	dir := t.TempDir()
	tracer := provider(create(t, dir)).Tracer("s")
	for range 1500 {
		record(tracer, strings.Repeat("x", 1000))
	}
	got := readAll(t, dir)
	if len(got.requests) < 3 || len(got.finished) != 1500 {
		t.Errorf("%d requests of %d spans", len(got.requests), len(got.finished))
	}
	for _, r := range got.requests {
		if n := len(spansOf(r)); n > 512 {
			t.Errorf("%d spans in a request", n)
		}
	}
}

// FuzzReader damages a segment in one place, or replaces all of it. The reader never panics, finds every span before the damage
// as it was written, and none in a record that is damaged.
func FuzzReader(f *testing.F) {
	f.Add([]byte{}, uint16(0), uint8(0))
	f.Add([]byte{1}, uint16(300), uint8(20))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0}, uint16(128+48), uint8(5))
	f.Add([]byte{0xff, 0xff, 0xff, 0x7f}, uint16(128+4), uint8(3))
	f.Add(journal.Segment(nobody, [16]byte{}, 1, journal.Record(3, 0, []byte("\x12\x02\x0a\x00"))), uint16(0), uint8(0))
	f.Fuzz(func(t *testing.T, damage []byte, at uint16, spans uint8) {
		intact := journal.Segment(nobody, [16]byte{}, 1)
		header := len(intact)
		begins := []int{}
		for i := range spans {
			begin := len(intact)
			begins = append(begins, begin)
			if i%2 == 0 {
				intact = append(intact, spanRecord(kindEnd, fmt.Sprint("span ", i), i+1)...)
				continue
			}
			intact = append(intact, spanRecord(kindStart, fmt.Sprint("span ", i), i+1)...)
			begins = append(begins, len(intact))
			intact = append(intact, restRecord(begin-header)...)
		}
		segment := slices.Clone(intact)
		first := len(segment)
		for i, b := range damage {
			p := int(at) + i
			if p >= len(segment) {
				segment = append(segment, b)
				continue
			}
			if segment[p] != b {
				first = min(first, p)
			}
			segment[p] = b
		}

		var want []string
		ended := 0
		for _, begin := range begins {
			const state, kind = 8, 9
			end := begin + state + int(binary.LittleEndian.Uint32(intact[begin+4:]))
			now, before := slices.Clone(segment[begin:end]), intact[begin:end]
			done := now[state] == 1
			if now[state] = 0; first < header || !slices.Equal(now, before) {
				break
			}
			if intact[begin+kind] == kindStart {
				continue
			}
			if !done {
				want = append(want, fmt.Sprint("span ", ended))
			}
			ended++
		}
		var got []string
		j := journal.ReadSegment(segment)
		for body := range j.Requests() {
			got = append(got, decodeSome(body)...)
		}
		for body := range j.UnfinishedRequests() {
			decodeSome(body)
		}
		if first >= header && (len(got) < len(want) || !slices.Equal(got[:len(want)], want)) {
			t.Errorf("damage at %d: got %q, want %q first", first, got, want)
		}
		const leastRecord = 16 // a longer damage may be a record itself
		if first >= header && len(got) > len(want) && len(damage) < leastRecord {
			t.Errorf("damage at %d: got %q, of which only %d can be whole", first, got, len(want))
		}
	})
}

// decodeSome returns the names of a request's spans; what a fuzzer has made of it need not be a request throughout.
func decodeSome(body []byte) (names []string) {
	each := func(b []byte, number protowire.Number, f func([]byte)) {
		for len(b) > 0 {
			n, typ, tag := protowire.ConsumeTag(b)
			if tag < 0 {
				return
			}
			size := protowire.ConsumeFieldValue(n, typ, b[tag:])
			if size < 0 {
				return
			}
			if n == number && typ == protowire.BytesType {
				value, _ := protowire.ConsumeBytes(b[tag:])
				f(value)
			}
			b = b[tag+size:]
		}
	}
	each(body, 1, func(rs []byte) {
		each(rs, 2, func(ss []byte) {
			each(ss, 2, func(s []byte) {
				each(s, 5, func(name []byte) { names = append(names, string(name)) })
			})
		})
	})
	return names
}
