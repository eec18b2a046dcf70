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
	rows  [][]string
}

func (t *table) add(cells ...string) {
	for i := range cells {
		cells[i] = timeline.Clean(cells[i])
	}
	t.rows = append(t.rows, cells)
}

// render draws the table at most width columns wide by shortening the cells of column give, then by leaving columns out.
func (t *table) render(width, give int, color bool) []byte {
	const gap, least = 2, 8
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], timeline.Columns(cell))
		}
	}
	total := gap * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	out := make([]bool, len(widths))
	for _, i := range t.spare {
		if width <= 0 || total-widths[give]+min(widths[give], least) <= width {
			break
		}
		out[i] = true
		total -= widths[i] + gap
	}
	if over := total - width; width > 0 && over > 0 {
		widths[give] = min(widths[give], max(least, widths[give]-over))
	}
	var drawn bytes.Buffer
	line := func(row []string, before, after string) {
		var b strings.Builder
		for i, cell := range row {
			if out[i] {
				continue
			}
			cell = timeline.Truncate(cell, widths[i])
			pad := strings.Repeat(" ", widths[i]-timeline.Columns(cell))
			if i > 0 {
				b.WriteString(strings.Repeat(" ", gap))
			}
			if t.right[i] {
				b.WriteString(pad + cell)
			} else {
				b.WriteString(cell + pad)
			}
		}
		drawn.WriteString(before + strings.TrimRight(b.String(), " ") + after + "\n")
	}
	if color {
		line(t.head, "\x1b[1m", "\x1b[0m")
	} else {
		line(t.head, "", "")
	}
	for _, row := range t.rows {
		line(row, "", "")
	}
	return drawn.Bytes()
}
