package report

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// A set is stored as
//
//	format, records, spans between, words but the first, earliest start (all varints, the last a signed one),
//	each word as its length and its bytes,
//	the trace, span and parent ids of each record, then of each span between,
//	columns: the width of the column's numbers in bytes, then one of each record, little endian: its start less the
//	earliest, each latency and count + 1, its words, its flags,
//	padding bytes of zero.
//
// Ids are random and do not compress, and numbers of one width are read fast.

// format is of the stored form, and of what is read from spans. It grows when either changes.
const format = 1

// errStored says that stored bytes are not a set of this format.
var errStored = errors.New("broken or of another format")

const (
	idBytes = 16 + 8 + 8
	padding = 8 // so that each number can be read as one of eight bytes
	columns = 1 + latencies + 2 + words + 1
)

// column returns what of r stands in column c, from 0 on.
func (r *record) column(c int, base int64) uint64 {
	switch {
	case c == 0:
		return uint64(r.start - base)
	case c <= latencies:
		return uint64(r.times[c-1] + 1)
	case c == latencies+1:
		return uint64(r.input + 1)
	case c == latencies+2:
		return uint64(r.output + 1)
	case c < columns-1:
		return uint64(r.name[c-latencies-3])
	}
	return uint64(r.flags)
}

// encode returns the set's stored form.
func (s *set) encode() []byte {
	words := s.names.words
	if len(words) > 0 {
		words = words[1:]
	}
	var base int64
	for i := range s.records {
		if start := s.records[i].start; i == 0 || start < base {
			base = start
		}
	}
	b := make([]byte, 0, 64+len(s.records)*84+len(s.between)*idBytes)
	for _, n := range [...]int{format, len(s.records), len(s.between), len(words)} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	b = binary.AppendVarint(b, base)
	for _, w := range words {
		b = append(binary.AppendUvarint(b, uint64(len(w))), w...)
	}
	for i := range s.records {
		b = s.records[i].ids.append(b)
	}
	for i := range s.between {
		b = s.between[i].append(b)
	}
	for c := range columns {
		var all uint64
		for i := range s.records {
			all |= s.records[i].column(c, base)
		}
		width := (bits.Len64(all) + 7) / 8
		b = append(b, byte(width))
		for i := range s.records {
			var number [8]byte
			binary.LittleEndian.PutUint64(number[:], s.records[i].column(c, base))
			b = append(b, number[:width]...)
		}
	}
	return append(b, make([]byte, padding)...)
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

// numbers is a column that is read.
type numbers struct {
	b     []byte
	width int
	mask  uint64
}

func (n *numbers) at(i int) uint64 { return binary.LittleEndian.Uint64(n.b[i*n.width:]) & n.mask }

// decodeSet reads what encode returned. The records are appended to records, for which there may be room; add numbers the
// words.
func decodeSet(b []byte, records []record, add func(word string) uint32) ([]record, []ids, error) {
	r := reader{b: b}
	if r.uvarint() != format {
		return nil, nil, errStored
	}
	count, between, words, start := r.uvarint(), r.uvarint(), r.uvarint(), r.uvarint()
	base := int64(start>>1) ^ -int64(start&1)
	if most := uint64(len(b)) / idBytes; r.broken || count > most || between > most-count || words > uint64(len(b)) {
		return nil, nil, errStored
	}
	places := make([]uint32, 1, words+1)
	for range words {
		places = append(places, add(string(r.bytes(r.uvarint()))))
	}
	idsOf, linksOf := r.bytes(count*idBytes), r.bytes(between*idBytes)
	var cs [columns]numbers
	for c := range cs {
		width := r.bytes(1)
		if r.broken || width[0] > 8 {
			return nil, nil, errStored
		}
		n := count * uint64(width[0])
		if n+padding > uint64(len(r.b)) {
			return nil, nil, errStored
		}
		cs[c] = numbers{b: r.b[:n+padding], width: int(width[0]), mask: ^uint64(0) >> (64 - 8*width[0])}
		r.bytes(n)
	}
	if r.broken || len(r.b) != padding {
		return nil, nil, errStored
	}
	for i := range int(count) {
		var to record
		to.ids.read(idsOf[i*idBytes:])
		to.start = base + int64(cs[0].at(i))
		for t := range to.times {
			to.times[t] = int64(cs[1+t].at(i)) - 1
		}
		to.input, to.output = int32(cs[1+latencies].at(i)-1), int32(cs[2+latencies].at(i)-1)
		for w := range to.name {
			word := cs[3+latencies+w].at(i)
			if word >= uint64(len(places)) {
				return nil, nil, errStored
			}
			to.name[w] = places[word]
		}
		to.flags = marks(cs[columns-1].at(i))
		if !to.sound() {
			return nil, nil, errStored
		}
		records = append(records, to)
	}
	links := make([]ids, between)
	for i := range links {
		links[i].read(linksOf[i*idBytes:])
	}
	return records, links, nil
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
