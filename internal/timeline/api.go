package timeline

import (
	"io"

	"forkspan.dev/forkspan/internal/otlp"
)

// Options of Build.
type Options struct {
	// Title is the heading's first words, for example "vllm serve exited 0 after 2m41s".
	// AmbientParents are the spans whose context the environment of the processes carried: server spans directly below one of
	// them are requests of their own, never part of start-up.
	AmbientParents []otlp.SpanID
	// Filters, zero for none.
	MaxDepth    int
	MinDuration int64 // nanoseconds
	Process     string
	ErrorsOnly  bool
	All         bool // requests row by row, and everything after start-up
}

// Timeline is a laid-out set of traces.
type Timeline struct {
	Start, End int64 // Unix nanoseconds of the drawn window
	Rows       []Row
}

// Row is one line: a span, a group of equal siblings, or the requests as one.
type Row struct {
	Depth int
	Label string
}

// Build lays spans out. Spans may come in any order, with duplicates (unfinished and finished records of one span), without
// their parents, with equal ids in different processes and with parents in a cycle.
func Build(spans []otlp.Span, opts Options) *Timeline { panic("stub") }

// TextOptions say how WriteText draws.
type TextOptions struct {
	Width   int  // columns; 0 means 100
	Color   bool // ANSI colours
	Unicode bool // box drawing and block characters, else ASCII
}

// WriteText draws the waterfall.
func (t *Timeline) WriteText(w io.Writer, opts TextOptions) error { panic("stub") }
