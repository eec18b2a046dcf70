package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"
	"unsafe"
)

// suffix is what the names of segments end with. They begin with the writer's pid and id.
const suffix = ".journal"

// segment is one file of a writer. It is not safe for concurrent use.
type segment struct {
	path     string
	file     *os.File // nil when the segment is mapped and has been full
	mem      []byte   // nil when it is written to plainly
	size     int      // bytes
	head     header
	used     int    // bytes: where the next record goes
	contexts []bool // by number: written here already
	pins     int    // records whose spans are still owed to somebody
	starts   int    // of these, spans that have not ended
}

// createSegment makes a spare segment of size bytes in dir, locked by this process.
func createSegment(dir string, h header, number uint32, size int, plain bool) (*segment, error) {
	path := filepath.Join(dir, fmt.Sprintf("%d-%x.%06d%s", h.pid, h.writer, number, suffix))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	s := &segment{path: path, file: f, size: size, head: h}
	lockOwn(f, pauseForLock)
	if err := s.prepare(plain); err != nil {
		s.discard()
		return nil, err
	}
	return s, nil
}

// prepare gives the segment its room and its header.
func (s *segment) prepare(plain bool) error {
	if !plain {
		mappable, err := allocate(s.file, int64(s.size))
		if err != nil {
			return err
		}
		if mappable {
			s.mapMemory()
		}
	}
	return s.writeHeader(0)
}

// mapMemory maps the file, if that can be done without danger.
func (s *segment) mapMemory() {
	mem, err := mapFile(s.file, s.size)
	if err != nil {
		return
	}
	if err := faultIn(mem); err != nil {
		_ = unmapFile(mem)
		return
	}
	s.mem = mem
}

// writeHeader begins the segment as the writer's sequence-th, or makes it a spare with 0.
func (s *segment) writeHeader(sequence uint32) error {
	s.head.sequence, s.head.phase = sequence, phaseOpen
	s.used = headerSize
	s.contexts = s.contexts[:0]
	b := s.head.encode()
	if s.mem == nil {
		return s.write(b[:], 0)
	}
	return guarded(func() {
		// Without the first word it is no segment, and with it all of the header is there.
		first := (*uint64)(unsafe.Pointer(&s.mem[0]))
		atomic.StoreUint64(first, 0)
		copy(s.mem[atVersion:], b[atVersion:])
		atomic.StoreUint64(first, binary.NativeEndian.Uint64(b[:]))
	})
}

// fits tells whether n bytes of records find room.
func (s *segment) fits(n int) bool { return n <= s.size-s.used }

// put writes a finished record after the others.
func (s *segment) put(rec []byte) error {
	if s.mem == nil {
		if _, err := s.file.WriteAt(rec, int64(s.used)); err != nil {
			return err
		}
		s.used += len(rec)
		return nil
	}
	if err := guarded(func() {
		at := s.mem[s.used : s.used+len(rec)]
		copy(at[atState:], rec[atState:])
		// Sum and length at once, and last: where there is a length, there is a record.
		word := binary.NativeEndian.Uint64(rec)
		atomic.StoreUint64((*uint64)(unsafe.Pointer(&at[0])), word)
	}); err != nil {
		return err
	}
	s.used += len(rec)
	return nil
}

// markDone notes that records of this segment have served their purpose.
func (s *segment) markDone(places ...place) error {
	if s.mem == nil {
		for _, at := range places {
			if err := s.write([]byte{stateDone}, at.offset+atState); err != nil {
				return err
			}
		}
		return nil
	}
	return guarded(func() {
		for _, at := range places {
			s.mem[at.offset+atState] = stateDone
		}
	})
}

// setPhase notes how far the writer is with the segment.
func (s *segment) setPhase(phase uint32) error {
	s.head.phase = phase
	return s.write(binary.LittleEndian.AppendUint32(nil, phase), atPhase)
}

// consumed tells whether a reader has everything in it.
func (s *segment) consumed() bool {
	var b [4]byte
	if s.mem != nil {
		err := guarded(func() { copy(b[:], s.mem[atConsumed:]) })
		return err == nil && binary.LittleEndian.Uint32(b[:]) == s.head.sequence
	}
	if s.file == nil {
		return false
	}
	_, err := s.file.ReadAt(b[:], atConsumed)
	return err == nil && binary.LittleEndian.Uint32(b[:]) == s.head.sequence
}

func (s *segment) write(b []byte, off int) error {
	if s.mem == nil {
		_, err := s.file.WriteAt(b, int64(off))
		return err
	}
	return guarded(func() { copy(s.mem[off:], b) })
}

// lockTries is how often a writer tries to lock a file of its own. A reader that asks whether it is locked holds it for microseconds.
const lockTries = 10

func pauseForLock() { time.Sleep(100 * time.Microsecond) }

// lockOwn locks a file of the writer's own, with pauses between its tries. Where locks do not work, the pid has to do.
func lockOwn(f *os.File, pause func()) {
	for range lockTries {
		if !isHeld(tryLock(f)) {
			return
		}
		pause()
	}
}

// seal notes that the segment is full.
func (s *segment) seal() {
	_ = s.setPhase(phaseSealed) // a hint for readers
	if s.mem != nil && s.file != nil {
		_ = s.file.Close() // the mapping stays
		s.file = nil
	}
}

// recycle makes a full segment a spare one.
func (s *segment) recycle() error {
	if s.mem == nil {
		return errors.New("not mapped")
	}
	if !mappingLocks {
		f, err := os.OpenFile(s.path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		s.file = f
		lockOwn(f, pauseForLock)
	}
	used := s.used
	if err := s.writeHeader(0); err != nil { // first: from here on nobody reads records in it
		return err
	}
	return guarded(func() { clear(s.mem[headerSize:used]) })
}

// discard removes the segment's file.
func (s *segment) discard() {
	s.close()
	_ = os.Remove(s.path)
}

// close lets go of the segment, and leaves its file.
func (s *segment) close() {
	if s.mem != nil {
		_ = unmapFile(s.mem)
		s.mem = nil
	}
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}

// errFault is a write to mapped memory that the system refused, such as behind the end of a file that somebody has cut off.
var errFault = errors.New("memory fault")

// guarded calls f, which touches mapped memory; a fault in it is an error and not the program's end.
func guarded(f func()) (err error) {
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		if recover() != nil {
			err = errFault
		}
	}()
	f()
	return nil
}
