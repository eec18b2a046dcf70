package timeline

import (
	"forkspan.dev/forkspan/internal/otlp"
)

// Options of Build. The zero value draws start-up with requests as one line and equal ranks as one row.
type Options struct {
	// AmbientParents are the spans whose context the environment of the processes carried: calls directly below one of them are
	// requests of their own, never part of start-up.
	AmbientParents []otlp.SpanID

	Start int64 // of the command, Unix nanoseconds; 0 means that of the first span
	Ready int64 // when the command was ready, Unix nanoseconds; 0 when nobody knows
	Now   int64 // while the command runs: until when it is known to, Unix nanoseconds; 0 when it has ended or nobody knows. What
	// is unfinished in it, and in processes that System knows to live, lasts until then

	System []OSProcess // what is known of the processes themselves

	All          bool // every row: requests, ranks one by one, everything after start-up
	NoGroup      bool // ranks one by one
	ListRequests bool // requests row by row

	MaxDepth     int    // levels; 0 for no limit
	MinDuration  int64  // nanoseconds; shorter spans are left out
	Process      string // part of a process's label, role, service or pid; others are left out
	ErrorsOnly   bool   // spans that failed
	CriticalPath bool   // spans that decided when start-up was over

	MaxRows int // the longest and the failed are kept; 0 for no limit
}

func (o *Options) filtering() bool {
	return o.MinDuration > 0 || o.Process != "" || o.ErrorsOnly || o.CriticalPath
}

// Timeline is a laid-out set of traces.
type Timeline struct {
	Start, End int64 // drawn window, Unix nanoseconds
	Traces     []Trace
	Processes  []Process // the lanes, by their first span
	Rows       []Row     // each parent before its children
	Hidden     int       // rows left out by MaxDepth and MaxRows
	Spans      int       // distinct spans that were given
	Requests   int
	Gaps       []Gap   // times before first spans that matter, the longest first
	Deaths     []Death // processes that failed, by their first span
}

// Trace is a heading: rows of one trace follow each other. Requests have a row of their own instead.
type Trace struct {
	ID    otlp.TraceID
	Spans int
	Rows  int // drawn
}

// RowKind tells what a row stands for.
type RowKind uint8

// The kinds of rows.
const (
	SpanRow     RowKind = iota // one span
	GroupRow                   // equal spans of several ranks
	RequestsRow                // all requests
)

// Row is one line of a drawing. Texts are as the spans brought them: whoever draws them makes them harmless.
type Row struct {
	Kind    RowKind
	Trace   int // index into Timeline.Traces; -1 for requests
	Depth   int
	Last    bool // no sibling follows: a drawer ends the guide of this depth here
	Process int  // index into Timeline.Processes, of a group that of the lowest rank; -1 for requests
	Prefix  string
	Name    string
	Count   int // members of a group, or requests; else 1

	Start, End             int64 // Unix nanoseconds; of a group from the earliest start to the latest end
	CommonStart, CommonEnd int64 // when all members of a group ran; equal to Start and End for a span

	Duration int64 // nanoseconds, the longest of a group; negative for a span that ended before it started
	Shortest int64 // the shortest of a group; equal to Duration for a span
	Median   int64 // of requests, by nearest rank
	Self     int64 // nanoseconds while no child ran

	FirstToken int64 // nanoseconds from the start of a request to a model; 0 when there was none or nobody knows

	SpanKind     otlp.Kind
	Status       otlp.StatusCode
	Errors       int    // failed requests
	ErrorType    string // where an error originated: its exception's type, may be empty
	ErrorMessage string // and message; both empty on the spans it passed through

	Unfinished    bool // no end is known; End is the last sign of life
	MissingParent bool // has a parent that never arrived
	Cycle         bool // its parents form a cycle, cut here
	Critical      bool // on the critical path
	Context       bool // does not match the filter, something below it does
	Hidden        int  // rows below it that are left out

	Death *Death // of the process of an outermost unfinished span, After since Timeline.Start; nil while it lives or is not known

	Span    *otlp.Span   // the span, or the earliest of a group; nil for requests
	Members []*otlp.Span // of a group
}

// Build lays spans out. Spans may come in any order, with duplicates (unfinished and finished records of one span), without
// their parents, with equal ids in different processes and with parents in a cycle. The rows refer to spans.
func Build(spans []otlp.Span, opts Options) *Timeline {
	f := grow(spans, opts)
	t := &Timeline{Processes: f.processes, Spans: len(f.nodes), Requests: len(f.requests)}
	t.Start, t.End = f.window(opts)
	f.markCritical(t.End)
	g := &groups{f: f}
	if !opts.All && !opts.NoGroup && !opts.CriticalPath {
		g = groupRanks(f)
	}
	b := &builder{f: f, g: g, t: t, opts: opts, errors: map[int32]spanError{}}
	b.build()
	t.tell()
	return t
}

// RequestRows returns the rows of requests, without what is below them: none where requests are drawn as one row.
func (t *Timeline) RequestRows() []*Row {
	var rows []*Row
	depth := 0 // of requests, one more below a row that sums them up
	for i := range t.Rows {
		r := &t.Rows[i]
		switch {
		case r.Kind == RequestsRow:
			depth = r.Depth + 1
		case r.Trace < 0 && r.Depth == depth:
			rows = append(rows, r)
		}
	}
	return rows
}
