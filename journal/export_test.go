package journal

import (
	"bytes"
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
	j := Journal{paths: []string{"segment"}}
	_ = j.fill(func(string) (segmentFile, error) { return memoryFile{bytes.NewReader(b)}, nil }, true)
	return &j
}

type memoryFile struct{ *bytes.Reader }

func (memoryFile) Close() error { return nil }

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

// AttributesStay tells whether attributes are not copied.
func AttributesStay() bool { return attributesStay() }

// CopyAttributes has them copied for the length of the test, as with an SDK that changes them.
func CopyAttributes(t testing.TB) {
	before := attributesStay
	attributesStay = func() bool { return false }
	t.Cleanup(func() { attributesStay = before })
}
