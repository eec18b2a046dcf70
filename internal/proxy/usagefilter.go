package proxy

import (
	"bytes"
	"encoding/json"
	"io"
)

// maxFiltered is the size of an event, in bytes, above which it passes without being looked at. An event with usage alone is
// small.
const maxFiltered = 256 << 10

// usageFilter is an event stream without the event that tells only the usage. Events pass when they are complete.
type usageFilter struct {
	src     io.ReadCloser
	ready   []byte // may go out
	held    []byte // the begin of an event
	scanned int    // of held, what was searched for the event's end
	passing bool   // the event under way is too large
	err     error
	chunk   [4 << 10]byte
}

// Close closes the stream.
func (f *usageFilter) Close() error { return f.src.Close() }

// Read returns whole events.
func (f *usageFilter) Read(p []byte) (int, error) {
	for len(f.ready) == 0 && f.err == nil {
		n, err := f.src.Read(f.chunk[:])
		f.take(f.chunk[:n])
		if f.err = err; err != nil {
			f.ready = append(f.ready, f.held...) // what has no end is not for us to judge
			f.held = nil
		}
	}
	n := copy(p, f.ready)
	f.ready = f.ready[n:]
	if len(f.ready) == 0 && f.err != nil {
		return n, f.err
	}
	return n, nil
}

func (f *usageFilter) take(p []byte) {
	f.held = append(f.held, p...)
	for {
		end := eventEnd(f.held, f.scanned)
		if end < 0 {
			break
		}
		event := f.held[:end]
		if f.passing || !onlyUsage(event) {
			f.ready = append(f.ready, event...)
		}
		f.passing, f.scanned = false, 0
		f.held = append(f.held[:0], f.held[end:]...)
	}
	f.scanned = max(0, len(f.held)-3)
	if f.passing || len(f.held) > maxFiltered {
		// The last bytes stay: they may be the begin of the event's end.
		f.passing = true
		f.ready = append(f.ready, f.held[:f.scanned]...)
		f.held = append(f.held[:0], f.held[f.scanned:]...)
		f.scanned = 0
	}
}

// eventEnd returns the index after the empty line that ends the first event, or -1. Lines end in LF, CRLF or CR.
// https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
func eventEnd(b []byte, from int) int {
	for i := from; i < len(b); i++ {
		var second int // of the two line ends
		switch {
		case b[i] == '\n':
			second = i + 1
		case b[i] != '\r':
			continue
		case i+1 < len(b) && b[i+1] == '\n':
			second = i + 2
		default:
			second = i + 1
		}
		if second >= len(b) {
			return -1
		}
		switch b[second] {
		case '\n':
			return second + 1
		case '\r':
			if second+1 < len(b) && b[second+1] == '\n' {
				return second + 2
			}
			return second + 1 // a LF that follows later does no harm before the next event
		}
	}
	return -1
}

// onlyUsage reports whether an event is the one that servers add for include_usage: no choices, and the usage.
func onlyUsage(event []byte) bool {
	if !bytes.Contains(event, []byte(`"usage"`)) {
		return false
	}
	var data []byte
	for line := range bytes.FieldsFuncSeq(event, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if value, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			data = append(data, value...)
		}
	}
	var v struct {
		Choices *[]json.RawMessage `json:"choices"`
		Usage   json.RawMessage    `json:"usage"`
	}
	return json.Unmarshal(data, &v) == nil && v.Choices != nil && len(*v.Choices) == 0 &&
		len(v.Usage) > 0 && v.Usage[0] == '{'
}
