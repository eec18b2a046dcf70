package timeline

import "strconv"

// style is what an ANSI terminal is told before a text; empty for plain.
type style string

// The 256-colour palette's middle tones are legible on dark and light grounds.
const (
	plain    style = ""
	dim      style = "38;5;244"
	bold     style = "1"
	red      style = "38;5;203"
	boldRed  style = "1;38;5;203"
	yellow   style = "38;5;178"
	requests style = "38;5;140"
)

// hues are the colours of processes, in order of their first span.
var hues = [...]uint8{74, 72, 173, 109, 137, 67, 108, 176, 143, 38}

func hue(process int) style {
	if process < 0 {
		return requests
	}
	return style("38;5;" + strconv.Itoa(int(hues[process%len(hues)])))
}

// pen writes styled text, or plain text where the reader wants no colour.
type pen struct {
	color bool
	buf   []byte
}

func (p *pen) put(st style, text string) {
	if text == "" {
		return
	}
	if !p.color || st == plain {
		p.buf = append(p.buf, text...)
		return
	}
	p.buf = append(p.buf, "\x1b["...)
	p.buf = append(p.buf, st...)
	p.buf = append(p.buf, 'm')
	p.buf = append(p.buf, text...)
	p.buf = append(p.buf, "\x1b[0m"...)
}

func (p *pen) pad(columns int) {
	for range columns {
		p.buf = append(p.buf, ' ')
	}
}

// endLine drops blanks at the end of the line that began at from.
func (p *pen) endLine(from int) {
	for len(p.buf) > from && p.buf[len(p.buf)-1] == ' ' {
		p.buf = p.buf[:len(p.buf)-1]
	}
	p.buf = append(p.buf, '\n')
}
