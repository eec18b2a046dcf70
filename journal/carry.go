package journal

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// carryFrom is how many full segments there are at least before starts are carried on: most spans end soon.
const carryFrom = 4

// carryShare is the most of a segment that is carried on to another: one part in so many. More is not worth the writing.
const carryShare = 4

// carry writes the starts of spans that have been open for long once more, into the current segment, so that the old ones can
// be used again: of those that hold nothing else. The caller has the lock, and the current segment is new; need bytes of it are spoken
// for.
func (p *process) carry(need int) {
	if len(p.full) < carryFrom {
		return
	}
	// The youngest are left alone.
	candidates := slices.DeleteFunc(slices.Clone(p.full[:len(p.full)-carryFrom/2]), func(s *segment) bool {
		return s.pins == 0 || s.pins != s.starts
	})
	if len(candidates) == 0 {
		return
	}
	bySegment := make(map[*segment][]*draft, len(candidates))
	for _, s := range candidates {
		bySegment[s] = nil
	}
	for d := range p.owed.open.all() {
		if list, ok := bySegment[d.at.segment]; ok {
			bySegment[d.at.segment] = append(list, d)
		}
	}
	room := min(p.cur.size/carryShare, p.cur.size-p.cur.used-need)
	for _, s := range candidates {
		starts := bySegment[s]
		slices.SortFunc(starts, func(a, b *draft) int { return cmp.Compare(a.at.offset, b.at.offset) })
		for _, d := range starts {
			n := p.carryOne(d, room)
			if n == 0 {
				break
			}
			room -= n
		}
	}
}

// carryOne carries one start on, if it takes no more than room bytes, and returns how many it took.
func (p *process) carryOne(d *draft, room int) int {
	rec, err := d.at.segment.record(d.at.offset)
	if err != nil {
		return 0
	}
	at := p.w.contexts.byNumber(binary.LittleEndian.Uint32(rec[atContext:]))
	need := p.cur.needs(rec, at)
	if need > room || !p.cur.fits(need) {
		return 0
	}
	length := atState + int(binary.LittleEndian.Uint32(rec[atLength:])) - int(rec[atFill])
	rec[atKind], rec[atState], rec[atFill] = byte(kindCarried), 0, 0
	to, err := p.put(finishRecord(rec[:length]), at)
	if err != nil {
		return 0
	}
	// Only now: between the two, a reader takes one of them.
	p.owe(d.hash, to, d)
	if d.sequence != 0 {
		d.sequence, d.offset = p.sequence, to.offset
	}
	return need
}

// record returns a copy of the record at off.
func (s *segment) record(off int) ([]byte, error) {
	var head [recordHead]byte
	if err := s.readAt(head[:], off); err != nil {
		return nil, err
	}
	b := make([]byte, recordLength(head[:]))
	return b, s.readAt(b, off)
}

func (s *segment) readAt(b []byte, off int) error {
	if s.mem == nil {
		_, err := s.file.ReadAt(b, int64(off))
		return err
	}
	return guarded(func() { copy(b, s.mem[off:]) })
}
