package journal

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"strings"
)

// The layout of a segment's header, in bytes. FORMAT.md explains it.
const (
	headerSize     = 128
	version        = 1
	magic          = "forkspan"
	atVersion      = 8
	atHeaderSize   = 10
	atHeaderSum    = 12 // CRC-32 IEEE of the bytes from atPID to atConsumed
	atPID          = 16
	atProcessStart = 24
	atWriter       = 32
	atBoot         = 48
	atNamespace    = 64
	atSequence     = 72
	atConsumed     = 120
	atPhase        = 124

	phaseOpen   = 0 // records may follow
	phaseSealed = 1 // full
	phaseClosed = 2 // the writer has ended in order
)

// header is what a segment tells about its writer.
type header struct {
	identity
	writer   [16]byte // random
	sequence uint32   // from 1; 0 for a segment that is prepared for later
	phase    uint32
}

// identity tells a process from all others, also when its pid is given away again.
type identity struct {
	pid       uint32
	start     uint64   // of the process, in the system's own unit (ticks since the boot on Linux); 0 when not known
	boot      [16]byte // the system's boot id; zero when it has none
	namespace uint64   // inode of the pid namespace; 0 when there is none
}

// encode returns the bytes of h, without the reader's mark.
func (h header) encode() [headerSize]byte {
	var b [headerSize]byte
	copy(b[:], magic)
	le := binary.LittleEndian
	le.PutUint16(b[atVersion:], version)
	le.PutUint16(b[atHeaderSize:], headerSize)
	le.PutUint32(b[atPID:], h.pid)
	le.PutUint64(b[atProcessStart:], h.start)
	copy(b[atWriter:], h.writer[:])
	copy(b[atBoot:], h.boot[:])
	le.PutUint64(b[atNamespace:], h.namespace)
	le.PutUint32(b[atSequence:], h.sequence)
	le.PutUint32(b[atPhase:], h.phase)
	le.PutUint32(b[atHeaderSum:], crc32.ChecksumIEEE(b[atPID:atConsumed]))
	return b
}

// parseHeader reads the header of a segment, and where its records begin.
func parseHeader(b []byte) (h header, records int, ok bool) {
	le := binary.LittleEndian
	if len(b) < headerSize || string(b[:len(magic)]) != magic || le.Uint16(b[atVersion:]) != version ||
		le.Uint32(b[atHeaderSum:]) != crc32.ChecksumIEEE(b[atPID:atConsumed]) {
		return h, 0, false
	}
	records = aligned(int(le.Uint16(b[atHeaderSize:])))
	h.pid = le.Uint32(b[atPID:])
	h.start = le.Uint64(b[atProcessStart:])
	copy(h.writer[:], b[atWriter:])
	copy(h.boot[:], b[atBoot:])
	h.namespace = le.Uint64(b[atNamespace:])
	h.sequence = le.Uint32(b[atSequence:])
	h.phase = le.Uint32(b[atPhase:])
	return h, records, records >= headerSize
}

// isNewer tells whether b is a segment of a later version of the format.
func isNewer(b []byte) bool {
	return len(b) >= headerSize && string(b[:len(magic)]) == magic && binary.LittleEndian.Uint16(b[atVersion:]) > version
}

// parseBootID makes 16 bytes of a boot id, a UUID in text. What is none gives zero.
func parseBootID(text string) (id [16]byte) {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(text), "-", ""))
	if err == nil && len(b) == len(id) {
		copy(id[:], b)
	}
	return id
}
