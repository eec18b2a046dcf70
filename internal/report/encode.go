package report

import (
	"encoding/binary"
	"errors"
)

// A set is stored as
//
//	format, records, spans between, words but the first,
//	each word as its length and its bytes,
//	the trace, span and parent ids of each record, then of each span between,
//	and for each record, as varints: the distance of its start from the one before, each latency and count + 1, its words,
//	and its flags
//
// where all numbers but ids are varints, of starts signed ones. Ids are random and do not compress; nothing else is long.

// format is of the stored form, and of what is read from spans. It grows when either changes.
const format = 1

// errStored says that stored bytes are not a set of this format.
var errStored = errors.New("broken or of another format")

const idBytes = 16 + 8 + 8

// encode returns the set's stored form.
func (s *set) encode() []byte {
	words := s.names.words
	if len(words) > 0 {
		words = words[1:]
	}
	b := make([]byte, 0, 64+len(s.records)*88+len(s.between)*idBytes)
	b = binary.AppendUvarint(b, format)
	b = binary.AppendUvarint(b, uint64(len(s.records)))
	b = binary.AppendUvarint(b, uint64(len(s.between)))
	b = binary.AppendUvarint(b, uint64(len(words)))
	for _, w := range words {
		b = append(binary.AppendUvarint(b, uint64(len(w))), w...)
	}
	for i := range s.records {
		b = s.records[i].ids.append(b)
	}
	for i := range s.between {
		b = s.between[i].append(b)
	}
	var before int64
	for i := range s.records {
		r := &s.records[i]
		b = binary.AppendVarint(b, r.start-before)
		before = r.start
		for _, t := range r.times {
			b = binary.AppendUvarint(b, uint64(t+1))
		}
		b = binary.AppendUvarint(b, uint64(r.input+1))
		b = binary.AppendUvarint(b, uint64(r.output+1))
		for _, w := range r.name {
			b = binary.AppendUvarint(b, uint64(w))
		}
		b = append(b, byte(r.flags))
	}
	return b
}

func (i *ids) append(b []byte) []byte {
	b = append(b, i.trace[:]...)
	b = append(b, i.span[:]...)
	return append(b, i.parent[:]...)
}

func (i *ids) read(b []byte) {
	copy(i.trace[:], b)
	copy(i.span[:], b[16:])
	copy(i.parent[:], b[24:])
}

// decodeSet reads what encode returned.
func decodeSet(b []byte) (*set, error) {
	r := reader{b: b}
	if r.uvarint() != format {
		return nil, errStored
	}
	records, between, count := r.uvarint(), r.uvarint(), r.uvarint()
	if most := uint64(len(b)) / idBytes; r.broken || records > most || between > most-records || count > uint64(len(b)) {
		return nil, errStored
	}
	s := &set{}
	for range count {
		s.names.add(string(r.bytes(r.uvarint())))
	}
	idsOf := r.bytes((records + between) * idBytes)
	if r.broken || count > 0 && len(s.names.words) != int(count)+1 {
		return nil, errStored
	}
	s.records, s.between = make([]record, records), make([]ids, between)
	for i := range s.records {
		s.records[i].ids.read(idsOf[i*idBytes:])
	}
	for i := range s.between {
		s.between[i].read(idsOf[(int(records)+i)*idBytes:])
	}
	start := int64(0)
	for i := range s.records {
		to := &s.records[i]
		u := r.uvarint()
		start += int64(u>>1) ^ -int64(u&1)
		to.start = start
		for t := range to.times {
			to.times[t] = int64(r.uvarint() - 1)
		}
		to.input, to.output = int32(r.uvarint()-1), int32(r.uvarint()-1)
		for w := range to.name {
			word := r.uvarint()
			if word > count {
				return nil, errStored
			}
			to.name[w] = uint32(word)
		}
		if flags := r.bytes(1); len(flags) == 1 {
			to.flags = flag(flags[0])
		}
		if !to.sound() {
			return nil, errStored
		}
	}
	if r.broken || len(r.b) > 0 {
		return nil, errStored
	}
	return s, nil
}

// sound reports whether the figures are those that a span can give.
func (r *record) sound() bool {
	for _, t := range r.times {
		if t < unset {
			return false
		}
	}
	return r.input >= unset && r.output >= unset
}

// reader reads a stored set. After broken is set it yields zeros.
type reader struct {
	b      []byte
	broken bool
}

func (r *reader) uvarint() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 {
		u := uint64(r.b[0])
		r.b = r.b[1:]
		return u
	}
	u, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.broken, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return u
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.broken, r.b = true, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}
