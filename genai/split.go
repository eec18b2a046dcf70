package genai

import "bytes"

// sink takes what a splitter finds. The bytes are the splitter's.
type sink interface {
	event(name, data []byte)
	tooLarge() // an event that went beyond the bound
}

// keptBuffer is the capacity up to which a buffer is used again; larger ones served a single large event.
const keptBuffer = 64 << 10

func shrink(b []byte) []byte {
	if cap(b) > keptBuffer {
		return nil
	}
	return b[:0]
}

// sse splits an event stream into events as the HTML standard defines them (section 9.2.6, interpreting an event stream): lines
// end with LF, CR or CRLF, a blank line closes an event. The result does not depend on how the bytes are split.
//
// Two things go beyond the standard: a field "error", which llama.cpp has sent, is an event of that name with that data; and
// close hands over an event that lacks its blank line.
type sse struct {
	max      int    // bytes of a line, and of the data of an event
	line     []byte // begun, of earlier chunks
	data     []byte
	name     []byte
	hasData  bool
	lineOver bool // line is longer than max; only its beginning is kept
	over     bool // the event is beyond max
	cr       bool // the last byte was a CR: a LF now belongs to it
	bom      int8 // bytes of the byte order mark seen; -1 once the stream has begun
}

var bom = [...]byte{0xEF, 0xBB, 0xBF}

func (s *sse) feed(p []byte, to sink) {
	for s.bom >= 0 && len(p) > 0 {
		switch {
		case int(s.bom) == len(bom):
			s.bom = -1
		case p[0] == bom[s.bom]:
			s.bom++
			p = p[1:]
		default:
			s.keep(bom[:s.bom])
			s.bom = -1
		}
	}
	lf, cr := -1, -1 // next ones; searched again only when passed, so that the whole takes linear time
	for pos := 0; pos < len(p); {
		if s.cr {
			s.cr = false
			if p[pos] == '\n' {
				pos++
				continue
			}
		}
		lf = indexFrom(p, '\n', pos, lf)
		cr = indexFrom(p, '\r', pos, cr)
		end := min(lf, cr)
		if end == len(p) {
			s.keep(p[pos:])
			return
		}
		s.endLine(p[pos:end], to)
		s.cr = end == cr
		pos = end + 1
	}
}

// indexFrom returns the first index of b in p from pos on, or len(p); last is an earlier result.
func indexFrom(p []byte, b byte, pos, last int) int {
	if last >= pos {
		return last
	}
	if i := bytes.IndexByte(p[pos:], b); i >= 0 {
		return pos + i
	}
	return len(p)
}

// close is called at the end of a whole stream.
func (s *sse) close(to sink) {
	if s.bom > 0 && int(s.bom) < len(bom) {
		s.keep(bom[:s.bom])
		s.bom = -1
	}
	if len(s.line) > 0 {
		s.endLine(nil, to)
	}
	s.dispatch(to)
}

func (s *sse) keep(p []byte) {
	s.line, s.lineOver = appendMax(s.line, p, s.max, s.lineOver)
}

// appendMax appends what fits into max bytes, and tells whether something did not, now or before.
func appendMax(to, p []byte, max int, over bool) ([]byte, bool) {
	if room := max - len(to); len(p) > room {
		return append(to, p[:room]...), true
	}
	return append(to, p...), over
}

func (s *sse) endLine(rest []byte, to sink) {
	line, over := rest, len(rest) > s.max
	if len(s.line) > 0 {
		s.keep(rest)
		line, over = s.line, s.lineOver
		s.line, s.lineOver = shrink(s.line), false
	}
	if len(line) == 0 {
		s.dispatch(to)
		return
	}
	field, value, _ := bytes.Cut(line, []byte(":"))
	if len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	switch string(field) {
	case "event":
		s.name, _ = appendMax(s.name[:0], value, maxWord, false)
	case "error":
		s.name = append(s.name[:0], "error"...)
		s.addData(value, over)
	case "data":
		s.addData(value, over)
	}
}

func (s *sse) addData(value []byte, over bool) {
	if s.hasData {
		s.data, s.over = appendMax(s.data, []byte("\n"), s.max, s.over)
	}
	s.hasData = true
	s.data, s.over = appendMax(s.data, value, s.max, s.over || over)
}

func (s *sse) dispatch(to sink) {
	switch {
	case s.over:
		to.tooLarge()
	case len(s.data) > 0:
		to.event(s.name, s.data)
	}
	s.data, s.name = shrink(s.data), s.name[:0]
	s.hasData, s.over = false, false
}

// lines splits a stream of JSON texts, one a line.
type lines struct {
	max  int
	line []byte
	over bool
}

func (l *lines) feed(p []byte, to sink) {
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			l.line, l.over = appendMax(l.line, p, l.max, l.over)
			return
		}
		l.endLine(p[:i], to)
		p = p[i+1:]
	}
}

// close is called at the end of a whole stream.
func (l *lines) close(to sink) { l.endLine(nil, to) }

func (l *lines) endLine(rest []byte, to sink) {
	line, over := rest, len(rest) > l.max
	if len(l.line) > 0 {
		l.line, l.over = appendMax(l.line, rest, l.max, l.over)
		line, over = l.line, l.over
		l.line, l.over = shrink(l.line), false
	}
	if over {
		to.tooLarge()
	} else if line = bytes.TrimSpace(line); len(line) > 0 {
		to.event(nil, line)
	}
}
