package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"forkspan.dev/forkspan/internal/timeline"
)

// mostGroups is how many groups a text has room for.
const mostGroups = 20

// Text draws the report.
func (r *Requests) Text(opts timeline.TextOptions, warmup Warmup) []byte {
	t := text{opts: opts, width: opts.Width, dot: " - "}
	if t.width == 0 {
		t.width = 100
	}
	if opts.Unicode {
		t.dot = " · "
	}
	t.counts(&r.Group)
	if r.Warmup > 0 {
		t.line(fmt.Sprintf("warm-up: %s, %s", timeline.FormatCount(int64(r.Warmup)), warmup))
	}
	for i := range r.Groups {
		if i == mostGroups {
			t.line("")
			t.line(fmt.Sprintf("%s more groups: --model, --route or --json", timeline.FormatCount(int64(len(r.Groups)-i))))
			break
		}
		t.group(&r.Groups[i], len(r.Groups) > 1)
	}
	t.slow(r.Slow)
	return t.out
}

type text struct {
	out   []byte
	opts  timeline.TextOptions
	width int
	dot   string
}

func (t *text) line(s string) { t.out = append(append(t.out, s...), '\n') }

func (t *text) bold(s string) {
	if t.opts.Color {
		s = "\x1b[1m" + s + "\x1b[0m"
	}
	t.line(s)
}

// counts says how many requests there were, how they ended and what they used, in as many lines as that takes.
func (t *text) counts(g *Group) {
	line := ""
	for _, part := range g.counts() {
		if line != "" && timeline.Columns(line+t.dot+part) > t.width {
			t.line(line)
			line = ""
		}
		if line != "" {
			line += t.dot
		}
		line += part
	}
	t.line(line)
}

func (g *Group) counts() []string {
	parts := []string{counted(int64(g.Requests), "request")}
	if g.Failed > 0 {
		var kinds []string
		for i, f := range g.Failures {
			if i == 5 {
				kinds = append(kinds, "..")
				break
			}
			kinds = append(kinds, timeline.FormatCount(int64(f.Count))+" "+f.label())
		}
		parts = append(parts, timeline.FormatCount(int64(g.Failed))+" failed: "+strings.Join(kinds, ", "))
	}
	if g.Unfinished > 0 {
		parts = append(parts, timeline.FormatCount(int64(g.Unfinished))+" unfinished")
	}
	if g.Input > 0 {
		parts = append(parts, counted(g.Input, "token")+" in")
	}
	if g.Output > 0 {
		used := counted(g.Output, "token") + " out"
		if seconds := time.Duration(g.End - g.Start).Seconds(); seconds > 0 {
			used += " (" + speed(int64(float64(g.Output)/seconds*1000)) + "/s)"
		}
		parts = append(parts, used)
	}
	return parts
}

func counted(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return timeline.FormatCount(n) + " " + what
}

// label is the failure as it is shown: an HTTP status alone does not look like one.
func (f *Failure) label() string {
	if _, err := strconv.Atoi(f.Kind); err == nil {
		return "HTTP " + f.Kind
	}
	return timeline.Clean(strings.ReplaceAll(f.Kind, "_", " "))
}

// title names the group; "" for one of all requests.
func (g *Group) title() string {
	var parts []string
	for _, word := range [...]string{g.Run, g.Model, g.Route, g.Operation} {
		if word != "" {
			parts = append(parts, timeline.Clean(word))
		}
	}
	return strings.Join(parts, "  ")
}

func (t *text) group(g *Group, counts bool) {
	t.line("")
	title := g.title()
	if title == "" && counts {
		title = "other requests"
	}
	if title != "" {
		t.bold(title)
	}
	if counts {
		t.counts(g)
	}
	if len(g.Views) == 0 {
		t.line("no times: no request finished well")
		return
	}
	all, warm := grid(g, false), grid(g, true)
	if g.Warmup == 0 {
		t.grid(all)
		return
	}
	both := make([][]string, len(all))
	for i := range all {
		both[i] = append(append([]string{}, all[i]...), warm[i][1:]...)
	}
	without := "without warm-up"
	both[0][len(all[0])] = without
	if gridWidth(both) <= t.width {
		t.grid(both)
		return
	}
	t.grid(all)
	t.line("")
	warm[0][1] = without
	t.grid(warm)
}

// grid is the figures of a group in rows; the first cells are labels. The first row is a heading above the columns' names.
func grid(g *Group, warm bool) [][]string {
	rows := [][]string{make([]string, 6), {"", "COUNT", "P50", "P90", "P99", "SLOWEST"}}
	for _, v := range g.Views {
		rows = append(rows, []string{v.Side, "", "", "", "", ""})
		for i := range v.Measures {
			m := &v.Measures[i]
			d, format := m.All, timeline.FormatDuration
			if warm {
				d = m.Warm
			}
			if m.Name == TokensPerSecond {
				format = speed
			}
			row := []string{"  " + m.Name, timeline.FormatCount(int64(d.Count)), "-", "-", "-", "-"}
			if d.Count > 0 {
				for i, figure := range [...]int64{d.P50, d.P90, d.P99, d.Slowest} {
					row[2+i] = format(figure)
				}
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// speed writes thousandths of tokens a second: 8.3, 41, 1,200.
func speed(v int64) string {
	if v < 9_950 {
		return strings.TrimSuffix(strconv.FormatFloat(float64(v)/1000, 'f', 1, 64), ".0")
	}
	return timeline.FormatCount((v + 500) / 1000)
}

const gap = 2

// gridWidths are those of the columns. The heading does not count: it stands above several.
func gridWidths(rows [][]string) []int {
	widths := make([]int, len(rows[0]))
	for _, row := range rows[1:] {
		for i, cell := range row {
			widths[i] = max(widths[i], timeline.Columns(cell))
		}
	}
	return widths
}

func gridWidth(rows [][]string) int {
	total := -gap
	for _, w := range gridWidths(rows) {
		total += w + gap
	}
	return total
}

func (t *text) grid(rows [][]string) {
	for i, line := range gridLines(rows) {
		switch line = strings.TrimRight(line, " "); {
		case i == 0 && line == "":
		case i <= 1:
			t.bold(line)
		default:
			t.line(line)
		}
	}
}

// gridLines sets rows in columns, the first to the left and the others to the right. The cells of the first row begin where
// their column does and run on.
func gridLines(rows [][]string) []string {
	widths := gridWidths(rows)
	lines := make([]string, len(rows))
	for at, row := range rows {
		var b strings.Builder
		column := 0 // where the cell begins
		for i, cell := range row {
			pad := strings.Repeat(" ", max(0, widths[i]-timeline.Columns(cell)))
			switch {
			case at == 0 && cell != "":
				b.WriteString(strings.Repeat(" ", column-b.Len()) + cell)
			case at == 0:
			case i == 0:
				b.WriteString(cell + pad)
			default:
				b.WriteString(strings.Repeat(" ", gap) + pad + cell)
			}
			column += widths[i] + gap
		}
		lines[at] = b.String()
	}
	return lines
}

func (t *text) slow(list []Slow) {
	if len(list) == 0 {
		return
	}
	t.line("")
	rows := [][]string{make([]string, 4), {"SLOWEST", "TIME", "FIRST TOKEN", "TOKENS"}}
	for i := range list {
		s := &list[i]
		row := []string{fmt.Sprintf("%x", s.TraceID), timeline.FormatDuration(s.EndToEnd), "-", "-"}
		if s.FirstToken >= 0 {
			row[2] = timeline.FormatDuration(s.FirstToken)
		}
		if s.Output > 0 {
			row[3] = timeline.FormatCount(s.Output)
		}
		rows = append(rows, row)
	}
	used := gridWidth(rows) + gap
	if t.opts.Width > 0 && used+widestTitle(list) > t.opts.Width {
		shortenIDs(rows[2:])
		used = gridWidth(rows) + gap
	}
	for i, line := range gridLines(rows)[1:] {
		if i == 0 {
			t.bold(line)
			continue
		}
		title := list[i-1].title()
		t.line(strings.TrimRight(line+strings.Repeat(" ", gap)+t.opts.Truncate(title, max(8, t.width-used)), " "))
	}
}

func widestTitle(list []Slow) int {
	widest := 0
	for i := range list {
		widest = max(widest, timeline.Columns(list[i].title()))
	}
	return widest
}

// shortenIDs leaves of the traces' ids what tells them apart.
func shortenIDs(rows [][]string) {
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row[0]
	}
	digits := timeline.IDDigits(ids)
	for _, row := range rows {
		row[0] = row[0][:digits]
	}
}

// title says what the request was.
func (s *Slow) title() string {
	g := Group{Model: s.Model, Route: s.Route}
	if s.Route == "" {
		g.Operation = s.Operation
	}
	title := g.title()
	if s.Failure != "" {
		title = (&Failure{Kind: s.Failure}).label() + "  " + title
	}
	if s.Warmup {
		title += " (warm-up)"
	}
	return strings.TrimSpace(title)
}
