package journal

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Tail follows the journals in a folder while their processes write. It is not safe for concurrent use, and not meant for
// processes that export by [Writer.Exporter]: it may miss what is exported between two calls.
type Tail struct {
	dir      string
	segments map[string]*tailed // by path
}

// tailed is how far a segment has been read.
type tailed struct {
	sequence uint32
	next     int64 // where the next record begins
	contexts map[uint32]*origin
	complete bool // all of it was read, and no more comes
	consumed bool // and its writer was told
}

// NewTail returns a Tail of the folder dir, which need not be there yet.
func NewTail(dir string) *Tail { return &Tail{dir: dir, segments: map[string]*tailed{}} }

// Poll returns what was added since the last call: spans that have ended since, as finished ones, and spans that have started
// since and not ended, as unfinished ones. There is a Journal for each process that has added something, and each time for each
// that is dead: nothing will follow, so that its journal can be removed.
func (t *Tail) Poll() ([]*Journal, error) {
	writers, err := list(t.dir)
	if err != nil {
		return nil, fmt.Errorf("follow journals: %w", err)
	}
	here := self()
	seen := map[string]*tailed{}
	var added []*Journal
	var errs []error
	for _, paths := range writers {
		j, err := t.poll(paths, here, seen)
		if err != nil {
			errs = append(errs, fmt.Errorf("follow journals: %w", err))
		}
		if j.Finished+j.Unfinished > 0 || !j.Alive {
			added = append(added, j)
		}
	}
	t.segments = seen
	return added, errors.Join(errs...)
}

// poll reads what one writer has added, and notes in seen how far it got.
func (t *Tail) poll(paths []string, here identity, seen map[string]*tailed) (*Journal, error) {
	j := &Journal{PID: pidOf(filepath.Base(paths[0])), paths: paths}
	dead := writerIsDead(paths, here, j.PID) // before its records are read
	type part struct {
		*tailed
		path string
	}
	var parts []part
	for _, path := range paths {
		h, ok := readHeader(path)
		if !ok || h.sequence == 0 {
			continue
		}
		dead = dead || h.phase == phaseClosed
		s := t.segments[path]
		if s == nil || s.sequence != h.sequence {
			s = &tailed{sequence: h.sequence, next: headerSize, contexts: map[uint32]*origin{}}
		}
		seen[path] = s
		parts = append(parts, part{s, path})
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.sequence, b.sequence) })
	var m merger
	var errs []error
	broken := 0
	for _, p := range parts {
		bad, err := p.read(p.path, &m)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		if bad {
			broken++
		}
	}
	j.take(&m, dead, broken)
	return j, errors.Join(errs...)
}

// read takes the records that were added to the segment at path.
func (s *tailed) read(path string, m *merger) (broken bool, err error) {
	if s.complete {
		return false, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	before, ok := headerOf(f)
	if !ok || before.sequence != s.sequence {
		return false, nil
	}
	b, err := io.ReadAll(io.NewSectionReader(f, s.next, mostSegment*2))
	if err != nil {
		return false, err
	}
	if after, ok := headerOf(f); !ok || after.sequence != s.sequence {
		return false, nil // used again meanwhile
	}
	taken, broken := m.segment(b, s.contexts)
	s.next += int64(taken)
	s.complete = before.phase != phaseOpen
	return broken, nil
}

// Consume tells the writers that everything Poll has returned so far is kept elsewhere, so that they can use full segments
// again. Those are then gone for [All], [Recover] and any other Tail.
func (t *Tail) Consume() error {
	var errs []error
	for path, s := range t.segments {
		if !s.complete || s.consumed {
			continue
		}
		if err := s.consume(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("consume journal: %w", err))
		}
	}
	return errors.Join(errs...)
}

func (s *tailed) consume(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	// The sequence and not just a mark: if the segment is in use again, this says nothing.
	_, err = f.WriteAt(binary.LittleEndian.AppendUint32(nil, s.sequence), atConsumed)
	s.consumed = err == nil
	return errors.Join(err, f.Close())
}
