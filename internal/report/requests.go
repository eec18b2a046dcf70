package report

import (
	"fmt"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
)

// Source is the requests of one run, trace or file.
type Source struct {
	Name  string    // as its user calls it
	Ready time.Time // when the server was ready; zero when nobody knows
	set   set
}

// AddRequest adds the spans of one OTLP request, the protobuf of an ExportTraceServiceRequest. What is kept of a request span
// is about 120 bytes; body may be used again.
func (s *Source) AddRequest(body []byte) error {
	if _, err := s.set.addRequest(body); err != nil {
		return fmt.Errorf("read spans: %w", err)
	}
	return nil
}

// AddTrace adds those spans of one OTLP request that belong to a trace.
func (s *Source) AddTrace(body []byte, trace otlp.TraceID) error {
	spans, err := otlp.Decode(body)
	for i := range spans {
		if spans[i].TraceID == trace {
			s.set.add(&spans[i])
		}
	}
	if err != nil {
		return fmt.Errorf("read spans: %w", err)
	}
	return nil
}

// Key is what requests are grouped by.
type Key string

// The keys.
const (
	ByRun       Key = "run"
	ByModel     Key = "model"
	ByRoute     Key = "route" // the operation where the route is not known
	ByOperation Key = "operation"
)

// Options of Build. The zero value reports all requests as one group.
type Options struct {
	By      []Key
	Model   string    // only models with this in their name
	Route   string    // only routes or operations with this in their name
	Failed  bool      // only requests that failed
	Since   time.Time // only requests that began then or later
	Warmup  Warmup
	Slowest int // how many of the slowest requests are listed
}

// Requests is the report.
type Requests struct {
	Group          // all of them
	Groups []Group // the largest first; by Options.By
	Slow   []Slow  // the slowest first
}

// Group is a number of requests.
type Group struct {
	Run, Model, Route, Operation string // as far as the group was made by them
	Requests                     int
	Warmup                       int // of Requests, those of the warm-up
	Failed                       int
	Unfinished                   int
	Failures                     []Failure // the most frequent first
	Input                        int64     // tokens, as far as known
	Output                       int64
	Start, End                   int64 // Unix nanoseconds: begin of the first request, end of the last; 0 when none has ended
	Views                        []View
}

// Failure is how requests failed.
type Failure struct {
	Kind  string
	Count int
}

// View is one side's figures. The sides are client, server and difference.
type View struct {
	Side     string
	Measures []Measure // those with figures
}

// Measure is what was measured. The figures are nanoseconds, or thousandths of tokens a second.
type Measure struct {
	Name string
	All  Distribution
	Warm Distribution // without warm-up
}

// TokensPerSecond is the name of the one measure that is no time.
const TokensPerSecond = "tokens/s"

// Slow is one of the slowest requests.
type Slow struct {
	Run, Model, Route, Operation, Failure string
	TraceID                               [16]byte
	SpanID                                [8]byte
	Start                                 int64 // Unix nanoseconds
	EndToEnd                              int64 // nanoseconds
	FirstToken                            int64 // nanoseconds, -1 when not known
	Output                                int64 // tokens, 0 when not known
	Warmup                                bool
}

// Build reports the requests of the sources. It completes the sources' spans from each other, so that a source can be
// reported once.
func Build(sources []*Source, opts Options) *Requests {
	b := &builder{opts: opts, places: map[groupKey]int32{}, report: &Requests{}}
	for _, s := range sources {
		b.add(s)
	}
	b.finish()
	return b.report
}
