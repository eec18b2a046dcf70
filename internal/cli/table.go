package cli

import (
	"bytes"
	"strings"

	"forkspan.dev/forkspan/internal/timeline"
)

// table is text in columns. The cells of a right column are figures.
type table struct {
	head  []string
	right []bool
	spare []int // columns to leave out where there is no room, the first first
	ids   bool  // the first column has the ids of traces, of which the beginning does where there is no room
	least int   // columns that what is shortened keeps while others can be left out; 0 for a fifth of the width
	rows  [][]string
}

func (t *table) add(cells ...string) {
	for i := range cells {
		cells[i] = timeline.Clean(cells[i])
	}
	t.rows = append(t.rows, cells)
}

const (
	tableGap     = 2 // columns
	leastColumns = 8 // of a shortened column
)

// render draws the table at most opts.Width columns wide: it shortens ids, then the cells of column give, then it leaves columns
// out.
func (t *table) render(opts timeline.TextOptions, give int) []byte {
	width := opts.Width
	widths, total := t.measure()
	if t.ids && width > 0 && total > width {
		t.shortenIDs()
		widths, total = t.measure()
	}
	least := max(leastColumns, width/5, t.least)
	out := make([]bool, len(widths))
	for _, i := range t.spare {
		if width <= 0 || total-widths[give]+min(widths[give], least) <= width {
			break
		}
		out[i] = true
		total -= widths[i] + tableGap
	}
	if over := total - width; width > 0 && over > 0 {
		widths[give] = min(widths[give], max(leastColumns, widths[give]-over))
	}
	var drawn bytes.Buffer
	line := func(row []string, before, after string) {
		var b strings.Builder
		for i, cell := range row {
			if out[i] {
				continue
			}
			cell = opts.Truncate(cell, widths[i])
			pad := strings.Repeat(" ", widths[i]-timeline.Columns(cell))
			if i > 0 {
				b.WriteString(strings.Repeat(" ", tableGap))
			}
			if t.right[i] {
				b.WriteString(pad + cell)
			} else {
				b.WriteString(cell + pad)
			}
		}
		drawn.WriteString(before + strings.TrimRight(b.String(), " ") + after + "\n")
	}
	if opts.Color {
		line(t.head, "\x1b[1m", "\x1b[0m")
	} else {
		line(t.head, "", "")
	}
	for _, row := range t.rows {
		line(row, "", "")
	}
	return drawn.Bytes()
}

// measure is how wide the columns and the whole are.
func (t *table) measure() (widths []int, total int) {
	widths = make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], timeline.Columns(cell))
		}
	}
	total = tableGap * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	return widths, total
}

// shortenIDs leaves of the ids in the first column what tells them apart.
func (t *table) shortenIDs() {
	ids := make([]string, len(t.rows))
	for i, row := range t.rows {
		ids[i] = row[0]
	}
	digits := timeline.IDDigits(ids)
	for _, row := range t.rows {
		row[0] = row[0][:min(digits, len(row[0]))]
	}
}
