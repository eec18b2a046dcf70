package journal

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// kind is what a record holds.
type kind uint8

const (
	kindStart   kind = 1 // a span that has started
	kindEnd     kind = 2 // a whole span
	kindContext kind = 3 // resource and scope of the spans that name it
	kindCarried kind = 4 // a start that was written before, perhaps
	kindRest    kind = 5 // what a span's end adds to its start in the same segment
)

// The layout of a record, in bytes. FORMAT.md explains it.
const (
	recordHead  = 16 // before the payload
	recordAlign = 8  // records begin at multiples of it
	atSum       = 0  // CRC-32 IEEE of the record from its length to its end
	atLength    = 4  // of the record from its state to the payload's end; 0 means that no record is there yet
	atState     = 8  // counts as 0 in the sum
	atKind      = 9
	atFill      = 10 // bytes after the payload that the length counts and that are none of it
	atContext   = 12

	leastEnd  = 4  // bytes: a span's flags, or where the start is of a rest
	startRef  = 4  // bytes, at the end of a rest: where in the file its start is
	sumBlock  = 16 // bytes that the sum is made of at once: what is left over costs as much as 100 bytes
	sumLeast  = 64 // bytes: fewer cost more
	stateDone = 1  // in atState: the record has served its purpose
)

// filling is bytes that are not 0, which is what is not written yet.
var filling = bytes.Repeat([]byte{1}, sumLeast)

// beginRecord appends the head of a record to b, which is empty.
func beginRecord(b []byte, k kind, context uint32) []byte {
	b = append(b, make([]byte, recordHead)...)
	b[atKind] = byte(k)
	binary.LittleEndian.PutUint32(b[atContext:], context)
	return b
}

// finishRecord fills the record that is all of b up, writes its length and sum, and pads it.
func finishRecord(b []byte) []byte {
	summed := len(b) - atLength
	fill := filling[:max(sumLeast-summed, -summed&(sumBlock-1))]
	b = append(b, fill...)
	b[atFill] = byte(len(fill))
	binary.LittleEndian.PutUint32(b[atLength:], uint32(len(b)-atState))
	binary.LittleEndian.PutUint32(b[atSum:], crc32.ChecksumIEEE(b[atLength:]))
	return append(b, make([]byte, aligned(len(b))-len(b))...)
}

// record is one that was read.
type record struct {
	kind    kind
	done    bool
	context uint32
	payload []byte
}

// outcome is what is found at a place of a segment.
type outcome int

const (
	found    outcome = iota
	nothing          // no record has been finished here
	damaged          // neither a record nor empty
	tooShort         // the segment ends, perhaps in the middle of a record that its writer did not live to finish
)

// parseRecord reads the record that b begins with, and returns its size with padding.
func parseRecord(b []byte) (r record, size int, o outcome) {
	if len(b) < recordHead {
		return r, 0, tooShort
	}
	length := binary.LittleEndian.Uint32(b[atLength:])
	sum := binary.LittleEndian.Uint32(b[atSum:])
	if length == 0 && sum == 0 {
		return r, 0, nothing
	}
	if length < recordHead-atState || length > mostSegment {
		return r, 0, damaged
	}
	end, fill := atState+int(length), int(b[atFill])
	if end > len(b) {
		return r, 0, tooShort
	}
	if sumOf(b[:end]) != sum {
		if allZero(b[end-leastEnd:]) {
			return r, 0, tooShort // a system call that death cut short; spans do not end in zeros
		}
		return r, 0, damaged
	}
	if fill > end-recordHead {
		return r, 0, damaged
	}
	r = record{
		kind:    kind(b[atKind]),
		done:    b[atState] == stateDone,
		context: binary.LittleEndian.Uint32(b[atContext:]),
		payload: b[recordHead : end-fill],
	}
	return r, min(aligned(end), len(b)), found
}

// sumOf computes the sum of a record.
func sumOf(b []byte) uint32 {
	if b[atState] == 0 {
		return crc32.ChecksumIEEE(b[atLength:])
	}
	head := make([]byte, recordHead-atLength) // b may be read by others
	copy(head, b[atLength:])
	head[atState-atLength] = 0
	return crc32.Update(crc32.ChecksumIEEE(head), crc32.IEEETable, b[recordHead:])
}

// recordLength is how many bytes the record takes whose head b begins with; 0 when none is there, or nothing sensible.
func recordLength(b []byte) int {
	if len(b) < recordHead {
		return 0
	}
	length := binary.LittleEndian.Uint32(b[atLength:])
	if length > mostSegment {
		return recordHead // which is damaged
	}
	if length == 0 && binary.LittleEndian.Uint32(b[atSum:]) == 0 {
		return 0
	}
	return aligned(atState + int(length))
}

// aligned is n rounded up to where the next record begins.
func aligned(n int) int { return (n + recordAlign - 1) &^ (recordAlign - 1) }
