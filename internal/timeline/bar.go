package timeline

import (
	"math"
	"strings"
	"time"
)

// scale maps time to columns of the bar area.
type scale struct {
	start, end int64
	columns    int
	cells      []uint8 // scratch: the weight of each half column
}

// half is the half column of a time, not clipped: 0 is the left edge, 2*columns the right.
func (sc *scale) half(at int64) float64 {
	span := float64(sc.end) - float64(sc.start)
	if span <= 0 {
		span = 1
	}
	return (float64(at) - float64(sc.start)) / span * float64(2*sc.columns)
}

// bar draws a row between the edges: heavy where all members ran, light where only some did.
func (sc *scale) bar(r *Row, g *glyphs) string {
	limit := float64(2 * sc.columns)
	from, to := sc.half(min(r.Start, r.End)), sc.half(max(r.Start, r.End))
	if r.Start > sc.end || r.Start == sc.end && r.Start != sc.start {
		return sc.beyond("+"+FormatDuration(saturatingSub(r.Start, sc.start)), g.late, true)
	}
	if max(r.Start, r.End) < sc.start {
		return sc.beyond(FormatDuration(saturatingSub(r.Start, sc.start)), g.early, false)
	}
	if len(sc.cells) != 2*sc.columns {
		sc.cells = make([]uint8, 2*sc.columns)
	}
	cells := sc.cells
	clear(cells)
	fill := func(from, to float64, weight uint8) {
		a := int(math.Round(max(from, 0)))
		b := int(math.Round(min(to, limit)))
		if weight == 2 || b > a { // something is drawn of every span, however short
			a = min(a, len(cells)-1)
			b = max(b, a+1)
		}
		for i := a; i < b; i++ {
			cells[i] = weight
		}
	}
	fill(from, to, 1)
	if r.CommonEnd >= r.CommonStart {
		fill(sc.half(r.CommonStart), sc.half(r.CommonEnd), 2)
	} else if r.Kind != GroupRow {
		fill(from, to, 2)
	}
	var b strings.Builder
	b.Grow(3 * sc.columns)
	for i := 0; i < len(cells); i += 2 {
		switch last := i+2 >= len(cells); {
		case last && r.End > sc.end && to > limit+0.5:
			b.WriteString(g.clipped)
		case i == 0 && r.Start < sc.start && from < -0.5:
			b.WriteString(g.clippedLow)
		case r.Unfinished && cells[i]|cells[i+1] != 0:
			b.WriteString(g.open)
		default:
			b.WriteString(g.halves[cells[i]][cells[i+1]])
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// beyond says how far outside the drawn window a row begins.
func (sc *scale) beyond(offset, arrow string, right bool) string {
	text := arrow + " " + offset
	if right {
		text = offset + " " + arrow
		if pad := sc.columns - columnsOf(text); pad > 0 {
			text = strings.Repeat(" ", pad) + text
		}
	}
	return truncate(text, sc.columns, "")
}

// axis is the line of times above the bars.
func (sc *scale) axis() string {
	length := saturatingSub(sc.end, sc.start)
	if length <= 0 || sc.columns < 8 {
		return ""
	}
	step := tick(length, sc.columns)
	line := []rune(strings.Repeat(" ", sc.columns))
	free := 0
	for at := int64(0); at <= length; at += step {
		label := []rune(formatTick(at, step))
		column := int(float64(at) / float64(length) * float64(sc.columns))
		if column >= free && column+len(label) <= sc.columns {
			copy(line[column:], label)
			free = column + len(label) + 1
		}
		if at > length-step {
			break
		}
	}
	return strings.TrimRight(string(line), " ")
}

// tick is the shortest round distance of axis labels that leaves room for them.
func tick(length int64, columns int) int64 {
	const room = 10 // columns for a label and the space after it
	least := float64(length) / max(1, float64(columns)/room)
	for unit := int64(1); unit < int64(10*time.Second); unit *= 10 {
		for _, m := range []int64{1, 2, 5} {
			if float64(unit*m) >= least {
				return unit * m
			}
		}
	}
	for _, d := range []time.Duration{
		15 * time.Second, 20 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute,
		15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
	} {
		if float64(d) >= least {
			return int64(d)
		}
	}
	day := int64(24 * time.Hour)
	return day * (int64(least)/day + 1)
}

// formatTick writes a time of an axis whose labels are step nanoseconds apart: all that the step needs and no more.
func formatTick(at, step int64) string {
	d := time.Duration(at)
	switch {
	case at == 0:
		return "0s"
	case step >= int64(24*time.Hour):
		return FormatCount(int64(d/(24*time.Hour))) + "d"
	case step >= int64(time.Minute):
		return strings.TrimSuffix(strings.TrimSuffix(d.String(), "0s"), "h0m") + hourSuffix(d)
	}
	text := d.String()
	if d%time.Minute == 0 {
		text = strings.TrimSuffix(text, "0s")
	}
	return text
}

// hourSuffix gives whole hours their letter back, which is cut off with the minutes.
func hourSuffix(d time.Duration) string {
	if d%time.Hour == 0 {
		return "h"
	}
	return ""
}
