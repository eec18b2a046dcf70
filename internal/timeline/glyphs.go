package timeline

// glyphs are the characters of a drawing.
type glyphs struct {
	pipe, tee, corner, blank         string // guides, two columns each
	failed, missing, cycle           string // marks before a name, with their blank
	times, ellipsis, dash, to, deep  string
	late, early, clipped, clippedLow string
	halves                           [3][3]string // by weight of the left and right half of a cell: none, light, heavy
	open                             string       // a cell of an unfinished span
}

var unicodeGlyphs = glyphs{
	pipe: "│ ", tee: "├ ", corner: "└ ", blank: "  ",
	failed: "✗ ", missing: "┄ ", cycle: "↻ ",
	times: "×", ellipsis: "…", dash: "–", to: " … ", deep: "⋯",
	late: "→", early: "←", clipped: "…", clippedLow: "…",
	halves: [3][3]string{{" ", "╶", "╺"}, {"╴", "─", "╼"}, {"╸", "╾", "━"}},
	open:   "┅",
}

var asciiGlyphs = glyphs{
	pipe: "| ", tee: "|-", corner: "`-", blank: "  ",
	failed: "! ", missing: "~ ", cycle: "@ ",
	times: "x", ellipsis: "..", dash: "-", to: " .. ", deep: "..",
	late: ">", early: "<", clipped: ">", clippedLow: "<",
	halves: [3][3]string{{" ", "-", "="}, {"-", "-", "="}, {"=", "=", "="}},
	open:   "~",
}
