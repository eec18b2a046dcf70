package journal

import (
	"bytes"
	"io"
	"os"
	"slices"
	"testing"
)

// Forked makes w believe that its process was forked.
func (w *Writer) Forked() {
	p := w.current.Load()
	p.mark = &forkMark{pid: -1}
}

// Segment is a segment file of a writer for tests of the reader.
func Segment(pid int, boot [16]byte, sequence uint32, records ...[]byte) []byte {
	h := header{identity: self(), sequence: sequence}
	h.pid, h.boot = uint32(pid), boot
	b := h.encode()
	all := b[:]
	for _, r := range records {
		all = append(all, r...)
	}
	return all
}

// Record is a finished record.
func Record(k byte, context uint32, payload []byte) []byte {
	return finishRecord(append(beginRecord(nil, kind(k), context), payload...))
}

// Boot is the boot id of this machine.
func Boot() [16]byte { return self().boot }

// WithStart changes the process start in a segment's header.
func WithStart(segment []byte, start uint64) []byte {
	h, _, _ := parseHeader(segment)
	h.start = start
	b := h.encode()
	return append(b[:], segment[headerSize:]...)
}

// WithNamespace changes the pid namespace in a segment's header.
func WithNamespace(segment []byte, inode uint64) []byte {
	h, _, _ := parseHeader(segment)
	h.namespace = inode
	b := h.encode()
	return append(b[:], segment[headerSize:]...)
}

// LockOwn locks a file as a Writer does, and calls pause when it is locked.
func LockOwn(f *os.File, pause func()) { lockOwn(f, pause) }

// ReadSegment reads a segment of a dead writer.
func ReadSegment(b []byte) *Journal {
	return ReadSegmentFrom(bytes.NewReader(b))
}

type memoryFile struct{ io.ReaderAt }

func (memoryFile) Close() error { return nil }

// ReadSegmentFrom is ReadSegment of any reader.
func ReadSegmentFrom(r io.ReaderAt) *Journal {
	j := Journal{paths: []string{"segment"}}
	_ = j.fill(func(string) (segmentFile, error) { return memoryFile{r}, nil }, true)
	return &j
}

// SegmentTail reads one segment again and again, as a Tail does.
type SegmentTail struct {
	tailed *tailed
	merger merger
}

// Read reads what was added to the segment, and returns how many spans have ended so far and how many have not.
func (t *SegmentTail) Read(r io.ReaderAt) (ended, open int, broken bool, err error) {
	if t.tailed == nil {
		h, records, _ := begin(r)
		t.tailed = newTailed("segment", h, records)
	}
	broken, err = t.tailed.read(r, &t.merger)
	return len(t.merger.ended), len(t.merger.started), broken, err
}

// Files is how many files the Writer has made.
func (w *Writer) Files() int {
	p := w.process()
	p.mu.Lock()
	defer p.mu.Unlock()
	return int(p.files)
}

// AllLocked tells whether all files are locked that are in the folder.
func AllLocked(t testing.TB, dir string) bool {
	writers, err := list(dir)
	if err != nil || len(writers) != 1 {
		t.Fatalf("%d writers, %v", len(writers), err)
	}
	return !slices.ContainsFunc(writers[0].paths, func(path string) bool {
		locked := isLocked(path)
		_, err := os.Lstat(path) // the writer may have removed it
		return err == nil && !locked
	})
}
