package journal

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"
)

// Tail follows the journals in a folder while their processes write. It is not safe for concurrent use, and not meant for
// processes that export by [Writer.Exporter]: it may miss what is exported between two calls.
type Tail struct {
	// Patience is how long a span that has started is left alone: one that ends within it is returned only as finished. It may be
	// returned earlier, so that a segment can be used again.
	Patience time.Duration

	dir      string
	here     identity
	segments map[string]*tailed       // by path
	writers  map[string]*tailedWriter // by name
	known    map[string]identity      // of the writers, by name
	live     int                      // writers as of the last Poll
	unended  int                      // their spans that had not ended
	unlock   func()                   // nil for a Tail that no writer relies on
	file     *os.File                 // of the reader; nil for a Tail that no writer relies on
}

// tailed is how far a segment has been read.
type tailed struct {
	path     string
	sequence uint32
	phase    uint32 // before the last look at its records
	next     int64  // where the next record begins
	joined   int64  // bytes of starts in it that ends have referred to
	passed   bool   // some of what was taken could not be read
	contexts map[uint32]*origin
	complete bool // all of it was read, and no more comes
	consumed bool // and its writer was told
}

func newTailed(path string, h header, records int) *tailed {
	return &tailed{path: path, sequence: h.sequence, phase: h.phase, next: int64(records), contexts: map[uint32]*origin{}}
}

// tailedWriter is what is known of a writer.
type tailedWriter struct {
	merger          // its starts are those that have not been returned
	bad    []string // paths of segments of which a part could not be read
}

// NewTail returns a Tail of the folder dir, which need not be there yet.
func NewTail(dir string) *Tail {
	return &Tail{
		dir: dir, here: self(),
		segments: map[string]*tailed{}, writers: map[string]*tailedWriter{}, known: map[string]identity{},
	}
}

// Poll returns what was added since the last call: spans that have ended since, as finished ones, and spans that have started
// since and not ended, as unfinished ones. There is a Journal for each process that has added something, and each time for each
// that is dead: nothing will follow, so that its journal can be removed.
func (t *Tail) Poll() ([]*Journal, error) {
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("follow journals: %w", err)
	}
	found, err := survey(t.dir, t.here, t.known)
	if err != nil {
		return nil, fmt.Errorf("follow journals: %w", err)
	}
	segments, writers, known := map[string]*tailed{}, map[string]*tailedWriter{}, map[string]identity{}
	now := time.Now().UnixNano()
	t.live, t.unended = 0, 0
	var added []*Journal
	var errs []error
	for i := range found {
		w := &found[i]
		state := t.writers[w.name]
		if state == nil {
			state = &tailedWriter{}
		}
		writers[w.name] = state
		if !w.guessed {
			known[w.name] = w.identity
		}
		j, err := t.poll(w, state, segments, now)
		if err != nil {
			errs = append(errs, fmt.Errorf("follow journals: %w", err))
		}
		if j.Alive {
			t.live++
			t.unended += j.Open
		}
		if j.Finished+j.Unfinished > 0 || !j.Alive {
			added = append(added, j)
		}
	}
	t.segments, t.writers, t.known = segments, writers, known
	return added, errors.Join(errs...)
}

// poll reads what one writer has added, and notes in seen how far it got.
func (t *Tail) poll(w *writerFiles, state *tailedWriter, seen map[string]*tailed, now int64) (*Journal, error) {
	type part struct {
		*tailed
		file *os.File // nil when all of it was read
	}
	var parts []part
	var headless []string
	var errs []error
	dead := w.dead
	for _, path := range w.paths {
		f, err := os.Open(path)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) { // a live writer removes segments
				errs = append(errs, err)
				if s := t.segments[path]; s != nil {
					seen[path] = s // or all of it would be read again
				}
			}
			continue
		}
		h, records, what := begin(f)
		if what != segmentOK {
			_ = f.Close()
			switch what {
			case segmentNewer:
				errs = append(errs, newerError(path))
			case segmentBroken:
				headless = append(headless, path)
			}
			continue
		}
		dead = dead || h.phase == phaseClosed
		s := t.segments[path]
		if s == nil || s.sequence != h.sequence {
			s = newTailed(path, h, records)
		}
		s.phase = h.phase
		seen[path] = s
		if s.complete {
			_ = f.Close()
			f = nil
		}
		parts = append(parts, part{s, f})
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.sequence, b.sequence) })
	hurry := dead
	for _, p := range parts {
		if p.file == nil {
			continue
		}
		broken, err := p.read(p.file, &state.merger)
		_ = p.file.Close()
		if err != nil {
			errs = append(errs, err)
		}
		if broken && (dead || p.complete) { // else it may only not be there yet
			state.spoil(p.path)
		}
		hurry = hurry || p.complete
	}
	if dead { // else it may be about to be used again
		for _, path := range headless {
			state.spoil(path)
		}
	}
	j := w.journal()
	limit := now - t.Patience.Nanoseconds()
	if hurry {
		limit = now
	}
	j.finished, j.unfinished = state.takeAged(now, limit)
	j.finish(&state.merger, dead, len(state.bad))
	j.Open = state.opened + len(state.order)
	return j, errors.Join(errs...)
}

// spoil notes that a part of the segment could not be read.
func (w *tailedWriter) spoil(path string) {
	if !slices.Contains(w.bad, path) {
		w.bad = append(w.bad, path)
	}
}

// takeAged takes out the finished spans, and those of the others that were first seen by limit. now is the time of this poll.
func (m *merger) takeAged(now, limit int64) (finished, unfinished []span) {
	var young []*span
	for _, s := range m.order {
		if s.payload == nil {
			continue
		}
		if s.seen == 0 {
			s.seen = now
		}
		if s.seen <= limit {
			unfinished = append(unfinished, *s)
			m.forget(s)
			continue
		}
		if s.seen == now {
			s.payload = bytes.Clone(s.payload) // and not all that was read with it
		}
		young = append(young, s)
	}
	m.order = young
	finished, m.ended = m.ended, nil
	return finished, unfinished
}

// chunkSize is how much of a segment is read at once. Records may be larger.
const chunkSize = 64 << 10

// read takes the records that were added to the segment. broken tells whether a part could not be read, of all that there was.
func (s *tailed) read(f io.ReaderAt, m *merger) (broken bool, err error) {
	before := &earlier{tailed: s, file: f}
	for size := chunkSize; ; {
		var head [recordHead]byte
		n, err := f.ReadAt(head[:], s.next)
		if err != nil && !errors.Is(err, io.EOF) {
			return s.passed, err
		}
		length := recordLength(head[:n])
		if length == 0 {
			break
		}
		b := make([]byte, max(size, length))
		if n, err = f.ReadAt(b, s.next); err != nil && !errors.Is(err, io.EOF) {
			return s.passed, err
		}
		if after, _, what := begin(f); what != segmentOK || after.sequence != s.sequence {
			return s.passed, nil // used again meanwhile
		}
		taken, damage, err := m.segment(b[:n], before, s.contexts)
		s.next += int64(taken)
		s.passed = s.passed || damage&damagePassed != 0
		switch {
		case errors.Is(err, errUsedAgain):
			return s.passed, nil
		case err != nil:
			return s.passed, err
		case damage&damageHere != 0:
			broken = true
		}
		if taken == 0 || n < len(b) {
			break
		}
		size = min(2*size, 16*chunkSize)
	}
	s.complete = s.phase != phaseOpen
	return broken || s.passed, nil
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
