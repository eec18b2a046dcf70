package store

import (
	"context"
	"errors"
	"iter"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
)

// Sentinels that callers branch on.
var (
	ErrNotFound = errors.New("not found")                                    // no run or trace of that name
	ErrNewer    = errors.New("the database was written by a newer forkspan") // nothing was changed
)

// Options of Open. The zero value is for use by the commands.
type Options struct {
	MaxBytes int64            // size cap; 0 means 2 GiB
	MaxAge   time.Duration    // age cap; 0 means 30 days
	Notify   func(msg string) // told what the user should know (a damaged file set aside, runs removed by a cap); may be nil
}

// Store is an open trace store. It is safe for concurrent use, also by several processes on one file.
type Store struct{}

// Memory is the path of a store that lives in memory only.
const Memory = ":memory:"

// DefaultPath is where the store lives when nobody says otherwise: $XDG_STATE_HOME/forkspan/forkspan.db, else below HOME,
// else below the temporary folder (a note then says so).
func DefaultPath(env func(string) string) (path, note string) { panic("stub") }

// Open opens the store at path and creates it when it is not there.
func Open(ctx context.Context, path string, opts Options) (*Store, error) { panic("stub") }

// Close writes what is still waiting and closes the file.
func (s *Store) Close() error { panic("stub") }

// Path is the file's path, or Memory.
func (s *Store) Path() string { panic("stub") }

// Run is one supervised command, or one import.
type Run struct {
	ID       string   // ten characters of Crockford's base32, random; see NewRunID
	Kind     string   // "run" or "import"
	Name     string   // --name, else the command's base name, else the imported file's
	Command  []string // scrubbed
	TraceID  otlp.TraceID
	SpanID   otlp.SpanID // the command's span
	ParentID otlp.SpanID // the span whose context the environment of the children carries
	Start    time.Time
	Ready    time.Time // zero when never ready
	End      time.Time // zero while it runs, and for ever when forkspan was killed
	PID      int       // of the supervising forkspan
	BootID   string    // of the machine, so that PID can be trusted
	Exit     *Exit     // nil until it ends
	Account  Account
}

// Exit is how a run's command ended.
type Exit struct {
	Code   int `json:"code"`   // exit code; -1 for a signal
	Signal int `json:"signal"` // 0 when it exited
}

// Account counts what became of a run's spans.
type Account struct {
	Spans     int64            `json:"spans"`
	Traces    int64            `json:"traces"`
	Processes int64            `json:"processes"`
	Dropped   map[string]int64 `json:"dropped,omitempty"` // by reason
}

// NewRunID returns a random run id. Any unique prefix names the run; four characters are shown where they are unique.
func NewRunID() string { panic("stub") }

// Request is one stored OTLP request.
type Request struct {
	ID       int64 // grows with arrival
	Run      string
	Received time.Time
	Body     []byte // protobuf of an ExportTraceServiceRequest
}

// Append stores one scanned request under a run ("" for none) and returns when it is committed.
// Callers that wait at the same time share one transaction.
func (s *Store) Append(ctx context.Context, run string, body []byte, sum otlp.Summary) error {
	panic("stub")
}

// PutRun inserts the run or replaces the one with its id.
func (s *Store) PutRun(ctx context.Context, run Run) error { panic("stub") }

// Runs returns the runs, newest first.
func (s *Store) Runs(ctx context.Context) ([]Run, error) { panic("stub") }

// FindRun returns the run that ref names: "" and "last" the latest, "-2" the one before it, any unique prefix of an id, or a name
// (the latest of that name). ErrNotFound when there is none; an ambiguous prefix is an error that lists the candidates.
func (s *Store) FindRun(ctx context.Context, ref string) (Run, error) { panic("stub") }

// Requests yields the requests of a run in order of arrival.
func (s *Store) Requests(ctx context.Context, run string) iter.Seq2[Request, error] { panic("stub") }

// Trace yields the requests that hold spans of a trace, found through the index by trace id.
func (s *Store) Trace(ctx context.Context, id otlp.TraceID) iter.Seq2[Request, error] { panic("stub") }

// TraceInfo is one trace of a run, from the summaries alone.
type TraceInfo struct {
	TraceID otlp.TraceID
	Root    string
	Spans   int
	Errors  int
	Start   time.Time
	End     time.Time
}

// Traces returns the traces of a run, earliest first; run "" means of every run and of none.
func (s *Store) Traces(ctx context.Context, run string) ([]TraceInfo, error) { panic("stub") }

// Remove deletes runs with their requests and gives the space back to the file system.
func (s *Store) Remove(ctx context.Context, runs ...string) error { panic("stub") }
