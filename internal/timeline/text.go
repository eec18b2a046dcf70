package timeline

import (
	"encoding/hex"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/clipperhouse/displaywidth"

	"forkspan.dev/forkspan/internal/otlp"
)

// TextOptions say how WriteText draws.
type TextOptions struct {
	Width   int  // columns, 40 to 10,000; 0 means 100
	Color   bool // ANSI colours
	Unicode bool // box drawing and block characters, else ASCII
}

const (
	defaultWidth = 100
	leastWidth   = 40
	mostWidth    = 10_000 // memory is taken for it
	leastLabel   = 16
	gap          = 2 // columns between label, duration and bar
	errorLines   = 4 // of one error's message
)

// WriteText draws the waterfall: an axis, then a line a row with its label, duration and bar, then what the marks mean.
func (t *Timeline) WriteText(w io.Writer, opts TextOptions) error {
	if opts.Width == 0 {
		opts.Width = defaultWidth
	}
	d := &drawing{t: t, w: w, width: min(max(opts.Width, leastWidth), mostWidth), g: &asciiGlyphs, pen: pen{color: opts.Color}}
	if opts.Unicode {
		d.g = &unicodeGlyphs
	}
	d.measure()
	if len(t.Rows) > 0 {
		d.axis()
	}
	for i := range t.Rows {
		d.heading(i)
		d.row(i)
		if len(d.pen.buf) > 1<<15 {
			if err := d.flush(); err != nil {
				return err
			}
		}
	}
	d.foot()
	d.notes()
	return d.flush()
}

// drawing is a waterfall on its way to the terminal.
type drawing struct {
	t     *Timeline
	w     io.Writer
	g     *glyphs
	pen   pen
	width int

	label, duration int // columns
	scale           scale
	last            []bool // by depth: the row drawn latest there was the last of its siblings
	parts           []part // scratch
}

func (d *drawing) flush() error {
	_, err := d.w.Write(d.pen.buf)
	d.pen.buf = d.pen.buf[:0]
	return err
}

// measure shares the width out: labels get what they need up to half of it.
func (d *drawing) measure() {
	label := leastLabel
	for i := range d.t.Rows {
		r := &d.t.Rows[i]
		d.duration = max(d.duration, columnsOf(d.durationOf(r)))
		need := 0
		if r.Kind != RequestsRow {
			need = d.guideColumns(r.Depth)
		}
		label = max(label, need+labelColumns(d.labelOf(r)))
	}
	d.duration = max(d.duration, 5)
	most := max(leastLabel, (d.width-d.duration-2*gap)/2)
	d.label = min(label, most)
	d.scale = scale{start: d.t.Start, end: d.t.End, columns: d.width - d.label - d.duration - 2*gap}
}

func (d *drawing) axis() {
	from := len(d.pen.buf)
	d.pen.pad(d.label + d.duration + 2*gap)
	d.pen.put(dim, d.text(d.scale.axis()))
	d.pen.endLine(from)
}

// heading names the trace where another one begins, when there are several.
func (d *drawing) heading(i int) {
	at := d.t.Rows[i].Trace
	if len(d.t.Traces) < 2 || at < 0 || i > 0 && d.t.Rows[i-1].Trace == at {
		return
	}
	tr := d.t.Traces[at]
	d.pen.put(bold, "trace "+hex.EncodeToString(tr.ID[:]))
	d.pen.put(dim, "  "+plural(tr.Spans, "span"))
	d.pen.buf = append(d.pen.buf, '\n')
}

// part is a piece of a label. The spare ones are left out when the column is too narrow, then the flexible ones give way.
type part struct {
	style           style
	text            string
	flexible, spare bool
	module          bool // the name of an import
}

// labelOf is a row's label without its guides; it is good until the next call.
func (d *drawing) labelOf(r *Row) []part {
	parts := d.parts[:0]
	defer func() { d.parts = parts }()
	name := plain
	if r.Context {
		name = dim
	}
	if r.Kind == RequestsRow {
		parts = append(parts, part{style: requests, text: plural(r.Count, "request"), flexible: true})
		if r.Errors > 0 {
			parts = append(parts, part{style: red, text: ", " + FormatCount(int64(r.Errors)) + " failed"})
		}
		return parts
	}
	switch {
	case r.MissingParent:
		parts = append(parts, part{style: dim, text: d.g.missing})
	case r.Cycle:
		parts = append(parts, part{style: yellow, text: d.g.cycle})
	}
	if r.Status == otlp.StatusError {
		parts = append(parts, part{style: boldRed, text: d.g.failed})
		name = red
	}
	if r.Prefix != "" {
		prefix := d.ascii(Clean(r.Prefix))
		parts = append(parts, part{style: hue(r.Process), text: prefix, flexible: true}, part{style: hue(r.Process), text: ": "})
	}
	parts = append(parts, part{style: name, text: Clean(r.Name), flexible: true, module: ofImport(r.Span)})
	if r.Kind == GroupRow {
		parts = append(parts, part{style: bold, text: " " + d.g.times + strconv.Itoa(r.Count)})
	}
	if r.Unfinished {
		parts = append(parts, part{style: yellow, text: " unfinished"})
	}
	if r.FirstToken > 0 {
		parts = append(parts, part{style: dim, text: ", " + d.firstToken(r), spare: true})
	}
	if r.Hidden > 0 {
		parts = append(parts, part{style: dim, text: " +" + FormatCount(int64(r.Hidden))})
	}
	return parts
}

func labelColumns(parts []part) int {
	n := 0
	for _, p := range parts {
		n += columnsOf(p.text)
	}
	return n
}

func (d *drawing) durationOf(r *Row) string {
	text := ""
	switch {
	case r.Kind == SpanRow:
		text = FormatDuration(r.Duration)
	case r.Kind == RequestsRow && r.Count == 1:
		text = FormatDuration(r.Duration)
	default:
		text = formatRange(r.Shortest, r.Duration, d.g.dash)
	}
	return d.text(text)
}

func (d *drawing) firstToken(r *Row) string {
	return d.text("first token " + FormatDuration(r.FirstToken))
}

// row draws a row, and below it the error that began there.
func (d *drawing) row(i int) {
	r := &d.t.Rows[i]
	d.last = append(d.last[:min(len(d.last), r.Depth)], r.Last)
	from := len(d.pen.buf)
	used := d.guides(r.Depth)

	note := "" // beside the bar
	if r.Kind == RequestsRow && r.Count > 1 {
		note = d.text("median " + FormatDuration(r.Median))
	}
	parts := d.labelOf(r)
	if labelColumns(parts) > d.label-used && r.FirstToken > 0 {
		parts = slices.DeleteFunc(parts, func(p part) bool { return p.spare })
		note = d.firstToken(r)
	}
	fixed, name := 0, 0 // name is the last flexible part
	for _, p := range parts {
		if !p.flexible {
			fixed += columnsOf(p.text)
		} else {
			name = columnsOf(p.text)
		}
	}
	room := max(0, d.label-used-fixed)
	for i, p := range parts {
		text := p.text
		if p.flexible {
			share := room
			if i+1 < len(parts) && parts[i+1].text == ": " { // a process leaves half of the room to the name
				share = max(room-name, room/2)
			}
			if p.module {
				text = truncateModule(text, share, d.g.ellipsis)
			}
			text = truncate(text, share, d.g.ellipsis)
			room -= columnsOf(text)
		}
		d.pen.put(p.style, text)
		used += columnsOf(text)
	}
	duration := d.durationOf(r)
	d.pen.pad(d.label - used + gap + d.duration - columnsOf(duration))
	switch {
	case r.Context:
		d.pen.put(dim, duration)
	case r.Critical:
		d.pen.put(bold, duration)
	default:
		d.pen.put(plain, duration)
	}
	d.pen.pad(gap)
	d.pen.put(d.barStyle(r), d.barOf(r, note))
	d.pen.endLine(from)
	if r.ErrorType != "" || r.ErrorMessage != "" {
		d.failure(i)
	}
	if r.Death != nil {
		d.below(i, yellow, d.interruption(r))
	}
}

// barOf is a row's bar, with a note where there is room left beside it.
func (d *drawing) barOf(r *Row, note string) string {
	bar := d.scale.bar(r, d.g)
	if note == "" {
		return bar
	}
	used, width := columnsOf(bar), columnsOf(note)
	blank := used - columnsOf(strings.TrimLeft(bar, " "))
	switch {
	case blank > width+1:
		return note + bar[width:]
	case used+1+width <= d.scale.columns:
		return bar + " " + note
	}
	return bar
}

// text is what d's glyphs can show of s.
func (d *drawing) text(s string) string {
	if d.g == &asciiGlyphs {
		return strings.ReplaceAll(s, "µ", "u")
	}
	return s
}

func (d *drawing) barStyle(r *Row) style {
	switch {
	case r.Status == otlp.StatusError && r.Kind != RequestsRow:
		return red
	case r.Context:
		return dim
	case r.SpanKind == otlp.KindServer && r.Trace < 0:
		return requests
	}
	return hue(r.Process)
}

// guides draws the lines of the tree that lead to a row and returns their columns.
func (d *drawing) guides(depth int) int {
	if depth == 0 {
		return 0
	}
	first := 1
	if most := d.deepest(); depth > most {
		first = depth
		text := d.g.deep + strconv.Itoa(depth) + " "
		d.pen.put(dim, text)
		d.pen.pad(d.guideColumns(depth) - columnsOf(text) - 2)
	}
	var b strings.Builder
	b.Grow(4 * (depth - first + 1))
	d.guideLines(&b, first, depth-1)
	if d.last[depth] {
		b.WriteString(d.g.corner)
	} else {
		b.WriteString(d.g.tee)
	}
	d.pen.put(dim, b.String())
	return d.guideColumns(depth)
}

// guideLines draws the lines that pass a row by, from one level to another.
func (d *drawing) guideLines(b *strings.Builder, from, to int) {
	for level := from; level <= to; level++ {
		if d.last[level] {
			b.WriteString(d.g.blank)
		} else {
			b.WriteString(d.g.pipe)
		}
	}
}

// deepest is the deepest level whose guides are drawn one by one; below it the level is a number, or names would have no room.
func (d *drawing) deepest() int { return max(6, d.width/8) }

func (d *drawing) guideColumns(depth int) int {
	most := d.deepest()
	if depth <= most {
		return 2 * depth
	}
	return 2 * most
}

// interruption says when an unfinished span was heard of, on the axis of the drawing, and how its process ended.
func (d *drawing) interruption(r *Row) string {
	text := "started at " + FormatDuration(r.Start-d.t.Start) + ", last sign of life at " + FormatDuration(r.End-d.t.Start)
	how := r.Death.How
	if how == "" {
		how = "ended"
	}
	return d.text(text + ", process " + how + " at " + FormatDuration(r.Death.After))
}

// failure draws an error's type and message.
func (d *drawing) failure(i int) {
	r := &d.t.Rows[i]
	text := Clean(strings.TrimSpace(r.ErrorMessage))
	if r.ErrorType != "" && !strings.HasPrefix(text, r.ErrorType) {
		text = strings.TrimSuffix(Clean(r.ErrorType)+": "+text, ": ")
	}
	d.below(i, red, text)
}

// below draws a text on lines of its own below a row, across the whole width.
func (d *drawing) below(i int, st style, text string) {
	r := &d.t.Rows[i]
	var guide strings.Builder
	if r.Depth <= d.deepest() {
		d.guideLines(&guide, 1, r.Depth)
	} else {
		guide.WriteString(strings.Repeat(d.g.blank, d.deepest()))
	}
	if i+1 < len(d.t.Rows) && d.t.Rows[i+1].Depth > r.Depth {
		guide.WriteString(d.g.pipe)
	} else {
		guide.WriteString(d.g.blank)
	}
	for _, line := range wrap(text, d.width-columnsOf(guide.String()), errorLines, d.g.ellipsis) {
		from := len(d.pen.buf)
		d.pen.put(dim, guide.String())
		d.pen.put(st, line)
		d.pen.endLine(from)
	}
}

// notes ends the drawing with what was left out and what the marks mean.
func (d *drawing) notes() {
	var missing, cycle bool
	for i := range d.t.Rows {
		missing = missing || d.t.Rows[i].MissingParent
		cycle = cycle || d.t.Rows[i].Cycle
	}
	note := func(text string) {
		d.pen.put(dim, text)
		d.pen.buf = append(d.pen.buf, '\n')
	}
	if d.t.Hidden > 0 {
		note(d.g.ellipsis + " " + FormatCount(int64(d.t.Hidden)) + " more " + noun(d.t.Hidden, "row") + ": --depth, --min-duration, --all")
	}
	if missing {
		note(d.g.missing + "its parent span is not here")
	}
	if cycle {
		note(d.g.cycle + "its parents lead back to it")
	}
}

func noun(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

func plural(n int, word string) string { return FormatCount(int64(n)) + " " + noun(n, word) }

// columnsOf is how many columns a terminal gives a text.
func columnsOf(s string) int { return displaywidth.String(s) }

// truncate cuts s to at most columns, with tail as its end where something was cut off.
func truncate(s string, columns int, tail string) string {
	if columnsOf(s) <= columns {
		return s
	}
	if columns <= columnsOf(tail) {
		tail = ""
	}
	return displaywidth.TruncateString(s, columns, tail)
}

// wrap breaks text into lines of at most columns, at blanks where it can, and cuts it after most lines.
func wrap(text string, columns, most int, ellipsis string) []string {
	columns = max(columns, 10)
	var lines []string
	for text != "" {
		if columnsOf(text) <= columns {
			return append(lines, text)
		}
		if len(lines) == most-1 {
			return append(lines, truncate(text, columns, ellipsis))
		}
		line := truncate(text, columns, "")
		if at := strings.LastIndexByte(line, ' '); at > len(line)/2 && text[len(line)] != ' ' {
			line = line[:at]
		}
		if line == "" {
			return lines
		}
		lines = append(lines, line)
		text = strings.TrimLeft(text[len(line):], " ")
	}
	return lines
}
