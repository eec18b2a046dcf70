package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"forkspan.dev/forkspan/journal"
)

// counting counts the bytes that are read.
type counting struct {
	io.ReaderAt
	bytes int
}

func (c *counting) ReadAt(b []byte, at int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(b, at)
	c.bytes += n
	return n, err
}

// A few bytes cannot make many spans of a large one, nor much work of what is none.
func TestManyRestsOfOneStart(t *testing.T) {
	const size = 3 << 20 // more than is read at once
	start := spanRecord(kindStart, strings.Repeat("a", size), 1)
	lie := bytes.Clone(start)
	lies := len(lie) - size/2
	lies -= lies % 8
	binary.LittleEndian.PutUint32(lie[lies:], 1)           // the sum of a record in the record
	binary.LittleEndian.PutUint32(lie[lies+4:], size/2-99) // and its length
	lie = journal.Record(kindStart, 0, lie[16:])
	for name, test := range map[string]struct {
		start    []byte
		at       int
		finished int
	}{"a start": {start, 0, 1}, "what says to be large": {lie, lies, 0}} {
		records := [][]byte{test.start}
		for range 1000 {
			records = append(records, restRecord(test.at))
		}
		segment := journal.Segment(nobody, journal.Boot(), 1, records...)
		r := &counting{ReaderAt: bytes.NewReader(segment)}
		got := journal.ReadSegmentFrom(r)
		if got.Finished != test.finished || got.Damaged != 1 {
			t.Errorf("%s: %d spans, %d damaged", name, got.Finished, got.Damaged)
		}
		if r.bytes > 4*len(segment) {
			t.Errorf("%s: %d bytes were read of %d", name, r.bytes, len(segment))
		}
	}
}

// failing fails once to read at an offset.
type failing struct {
	io.ReaderAt
	at  int64
	err error
}

func (f *failing) ReadAt(b []byte, at int64) (int, error) {
	if at == f.at && f.err != nil {
		err := f.err
		f.err = nil
		return 0, err
	}
	return f.ReaderAt.ReadAt(b, at)
}

// A start that cannot be read is read the next time; a segment that is used again meanwhile is not damaged.
func TestAStartThatCannotBeReadYet(t *testing.T) {
	start := spanRecord(kindStart, "a", 1)
	first := journal.Segment(os.Getpid(), journal.Boot(), 1, start)
	whole := journal.Segment(os.Getpid(), journal.Boot(), 1, start, restRecord(0))
	var tail journal.SegmentTail
	if ended, open, _, err := tail.Read(bytes.NewReader(first)); ended != 0 || open != 1 || err != nil {
		t.Fatalf("%d ended, %d open, %v", ended, open, err)
	}
	f := &failing{bytes.NewReader(whole), int64(len(first) - len(start)), errors.New("device error")}
	if ended, _, broken, err := tail.Read(f); ended != 0 || broken || err == nil {
		t.Errorf("%d ended, broken %v, %v", ended, broken, err)
	}
	again := &replaced{whole, journal.Segment(os.Getpid(), journal.Boot(), 2), 1}
	if ended, _, broken, err := tail.Read(again); ended != 0 || broken || err != nil {
		t.Errorf("used again: %d ended, broken %v, %v", ended, broken, err)
	}
	if ended, open, broken, err := tail.Read(f); ended != 1 || open != 0 || broken || err != nil {
		t.Errorf("%d ended, %d open, broken %v, %v", ended, open, broken, err)
	}
}

// replaced is a file whose header is another's after some looks at it.
type replaced struct {
	before, after []byte
	looks         int
}

func (r *replaced) ReadAt(b []byte, at int64) (int, error) {
	if at == 0 {
		if r.looks--; r.looks < 0 {
			return copy(b, r.after), nil
		}
	}
	return bytes.NewReader(r.before).ReadAt(b, at)
}

// What no span can be made of is damage, also when it was passed over while the process lived.
func TestTailRemembersDamage(t *testing.T) {
	dir := t.TempDir()
	tail := journal.NewTail(dir)
	records := [][]byte{spanRecord(kindStart, "a", 1), restRecord(1 << 20)}
	write(t, dir, journal.Segment(os.Getpid(), journal.Boot(), 1, records...))
	if got := poll(t, tail); got.damaged != 0 {
		t.Errorf("%d damaged of a live process", got.damaged)
	}
	closed := journal.Segment(os.Getpid(), journal.Boot(), 1, records...)
	closed[124] = 2 // the phase
	write(t, dir, closed)
	if got, all := poll(t, tail), readAll(t, dir); got.damaged != 1 || all.damaged != 1 {
		t.Errorf("%d damaged, with all read at once %d", got.damaged, all.damaged)
	}
}
