package genai

import (
	"bytes"
	"net/http"
	"strings"
	"sync"
	"time"
)

// form is how the body of an answer is made up.
type form uint8

const (
	formUnknown form = iota // told by the first byte
	formOther               // not looked at
	formJSON
	formEvents // event stream
	formLines  // a JSON text a line
)

// answer reads the body of one answer. Its request's lock guards it.
type answer struct {
	r        *Request
	form     form
	at       time.Time // of the bytes being read
	decoding *decoding // nil: not encoded

	unreadable bool // in a Content-Encoding that has no decoder
	*buffers
}

// buffers are used again by later requests.
type buffers struct {
	sse   sse
	lines lines
	ev    event
}

var bufferPool = sync.Pool{New: func() any { return new(buffers) }}

func newAnswer(r *Request, header http.Header) *answer {
	a := &answer{r: r, form: formOf(r.api, header), buffers: bufferPool.Get().(*buffers)}
	m := r.rec.maxEvent
	a.sse = sse{max: m, line: shrink(a.sse.line), data: shrink(a.sse.data), name: a.sse.name[:0]}
	a.lines = lines{max: m, line: shrink(a.lines.line)}
	if a.form == formOther {
		return a
	}
	open, known := r.rec.decoder(header.Get("Content-Encoding"))
	switch {
	case !known:
		a.form, a.unreadable = formOther, true
	case open != nil:
		a.decoding = newDecoding(open, func(p []byte) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.answer == a {
				a.take(p)
			}
		})
	}
	return a
}

// formOf tells the form from the content type.
func formOf(api API, header http.Header) form {
	if api == APIUnknown {
		return formOther
	}
	media, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	media = strings.ToLower(strings.TrimSpace(media))
	switch {
	case media == "text/event-stream":
		return formEvents
	case media == "application/x-ndjson", media == "application/ndjson", media == "application/jsonl",
		media == "application/stream+json":
		return formLines
	case media == "application/json", strings.HasSuffix(media, "+json"):
		return formJSON
	case media == "", media == "text/plain":
		return formUnknown
	}
	return formOther
}

// sniff tells the form from the first byte that is not blank, and returns what follows the blanks.
func (a *answer) sniff(p []byte) []byte {
	p = bytes.TrimLeft(p, " \t\r\n")
	switch {
	case len(p) == 0:
	case p[0] != '{':
		a.form = formEvents
	case a.r.streaming():
		a.form = formLines
	default:
		a.form = formJSON
	}
	return p
}

// take reads decoded bytes.
func (a *answer) take(p []byte) {
	defer a.guard()
	if a.form == formUnknown {
		p = a.sniff(p)
	}
	switch a.form {
	case formEvents:
		a.sse.feed(p, a)
	case formLines:
		a.lines.feed(p, a)
	case formJSON:
		a.lines.line, a.lines.over = appendMax(a.lines.line, p, a.lines.max, a.lines.over)
	}
}

// close is called at the end, whole or not, and gives the buffers back.
func (a *answer) close(whole bool) {
	a.r.result.form = a.form
	defer a.release()
	defer a.guard()
	switch {
	case a.form == formJSON:
		a.closeJSON(whole)
	case !whole:
	case a.form == formEvents:
		a.sse.close(a)
	case a.form == formLines:
		a.lines.close(a)
	}
}

// guard gives an answer up when reading it panics: recording must not take the program down.
func (a *answer) guard() {
	if recover() != nil {
		a.form = formOther
		a.r.result.unparsed++
	}
}

// abandon ends an answer that another one has replaced.
func (a *answer) abandon() {
	if a.decoding != nil {
		a.decoding.close()
	}
	a.release()
}

func (a *answer) release() {
	a.ev = event{reasons: a.ev.reasons[:0]}
	bufferPool.Put(a.buffers)
	a.buffers = nil
}

func (a *answer) closeJSON(whole bool) {
	text := a.lines.line
	a.lines.line = shrink(text)
	switch {
	case len(bytes.TrimSpace(text)) == 0:
	case !a.lines.over && a.ev.parse(text):
		a.ev.settle()
		a.r.result.note(a.r, &a.ev)
		a.r.result.complete = true
	case whole:
		a.r.result.unparsed++
	}
}

// event takes one event of a stream.
func (a *answer) event(name, data []byte) {
	r, res, e := a.r, &a.r.result, &a.ev
	if string(data) == "[DONE]" {
		a.mark(&r.marks.FirstEvent)
		res.complete = true
		return
	}
	if !e.parse(data) {
		a.mark(&r.marks.FirstEvent)
		res.unparsed++
		return
	}
	if string(e.kind) == "ping" {
		return // Messages' keep-alive
	}
	if string(name) == "error" && !e.failed {
		e.failed, e.errorKind = true, e.kind
	}
	e.settle()
	a.mark(&r.marks.FirstEvent)
	if token, visible := e.token(); token {
		a.mark(&r.marks.FirstToken)
		if visible {
			a.mark(&r.marks.FirstText)
		}
		if !r.marks.LastToken.IsZero() {
			r.marks.Gaps.add(a.at.Sub(r.marks.LastToken))
		}
		r.marks.LastToken = a.at
	}
	res.note(r, e)
}

// tooLarge counts an event beyond the bound.
func (a *answer) tooLarge() {
	a.mark(&a.r.marks.FirstEvent)
	a.r.result.unparsed++
}

// mark sets a mark that is unset.
func (a *answer) mark(m *time.Time) {
	if m.IsZero() {
		*m = a.at
	}
}
