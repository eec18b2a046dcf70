package journal

import (
	"encoding/binary"
	"errors"
	"io"
)

// earlier are the records of a segment that have been taken.
type earlier struct {
	*tailed
	file io.ReaderAt
	room []byte // for ends with their starts; those that were joined have its beginning
}

// errUsedAgain is of a segment whose writer uses it again while it is read.
var errUsedAgain = errors.New("segment is used again")

// join makes a whole end of the rest r, whose start is in more, which follows e, or in e. If there is none, there is no span in what it
// returns.
func (e *earlier) join(r record, more []byte) (record, error) {
	none := record{kind: kindEnd}
	fields := r.payload[:max(0, len(r.payload)-startRef)]
	reference := r.payload[len(fields):]
	if len(reference) < startRef {
		return none, nil
	}
	at := int64(binary.LittleEndian.Uint32(reference))
	start, err := e.start(at, more)
	if err != nil {
		return none, err
	}
	if start.kind != kindStart && start.kind != kindCarried {
		return none, nil
	}
	r.kind, r.payload = kindEnd, e.concat(start.payload, fields)
	return r, nil
}

// usualRecord is how much is read of a record whose size is not known, in bytes.
const usualRecord = 1 << 10

// start reads the start of a span that has ended. No start has more than one end: ends that would have more to be read than there is get
// none, or a few bytes made much work.
func (e *earlier) start(at int64, more []byte) (start record, err error) {
	var b []byte
	if at < e.next {
		b, err = e.read(at, usualRecord)
	} else {
		b = more[min(at-e.next, int64(len(more))):]
	}
	length := int64(recordLength(b))
	joined := e.joined + length
	if err != nil || joined > e.next+int64(len(more)) {
		return record{}, err
	}
	if at < e.next && length > int64(len(b)) {
		if b, err = e.read(at, length); err != nil {
			return record{}, err
		}
	}
	e.joined = joined
	start, _, _ = parseRecord(b)
	return start, nil
}

// read reads n bytes that have been taken, or what there is of them.
func (e *earlier) read(at, n int64) ([]byte, error) {
	b := make([]byte, min(n, e.next-at))
	if n, err := e.file.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	} else {
		b = b[:n]
	}
	if h, _, what := begin(e.file); what != segmentOK || h.sequence != e.sequence {
		return nil, errUsedAgain
	}
	return b, nil
}

// concat returns a and b as one, in memory that it shares with others.
func (e *earlier) concat(a, b []byte) []byte {
	n := len(a) + len(b)
	if n > cap(e.room)-len(e.room) {
		const least = 4 << 10
		e.room = make([]byte, 0, max(n, least, min(2*cap(e.room), chunkSize)))
	}
	at := len(e.room)
	e.room = append(append(e.room, a...), b...)
	return e.room[at:len(e.room):len(e.room)]
}
