package store

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/proctree"
)

// Run is one supervised command, one import, or the spans that scripts have made of one trace.
type Run struct {
	ID       string   // ten characters of Crockford's base32, random; see NewRunID
	Kind     string   // "run", "proxy", "import" or "script"
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
	Journal  string // folder of its processes' journals; empty when there is none or nothing is left in it
}

// Exit is how a run's command ended.
type Exit struct {
	Code   int `json:"code"`   // exit code; -1 for a signal
	Signal int `json:"signal"` // 0 when it exited
}

// Account counts what became of a run's spans.
type Account struct {
	Spans     int64            `json:"spans"` // those that have ended
	Traces    int64            `json:"traces"`
	Processes int64            `json:"processes"`         // the command's, where Coverage is known; else those that sent spans
	Dropped   map[string]int64 `json:"dropped,omitempty"` // by reason

	Unfinished int64 `json:"unfinished,omitempty"` // spans of journals that had not ended when the run or their process did

	Senders  int64              `json:"senders,omitempty"`  // resources that spans came with
	Silent   int64              `json:"silent,omitempty"`   // processes that ran and sent no span
	Coverage *proctree.Coverage `json:"coverage,omitempty"` // how completely the processes were seen; nil when they were not watched
}

// PutRun inserts the run or replaces the one with its id.
func (s *Store) PutRun(ctx context.Context, run Run) error {
	_, err := s.insertRun(ctx, "INSERT OR REPLACE", run)
	return err
}

// AddRun inserts the run unless there is one with its id, and tells whether it did.
func (s *Store) AddRun(ctx context.Context, run Run) (added bool, err error) {
	return s.insertRun(ctx, "INSERT OR IGNORE", run)
}

func (s *Store) insertRun(ctx context.Context, insert string, run Run) (inserted bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("store run: %w", err)
	}
	err = s.change(func(c *conn) error {
		inserted, err = c.insertRun(insert, run)
		return err
	})
	if err != nil {
		return false, explain("store run", err)
	}
	return inserted, nil
}

func (c *conn) insertRun(insert string, run Run) (inserted bool, err error) {
	run.scrub()
	command, err := json.Marshal(run.Command)
	if err != nil {
		return false, err
	}
	account, err := json.Marshal(run.Account)
	if err != nil {
		return false, err
	}
	var exit any
	if run.Exit != nil {
		b, err := json.Marshal(run.Exit)
		if err != nil {
			return false, err
		}
		exit = string(b)
	}
	const columns = ` INTO run (id, kind, name, command, trace_id, span_id, parent_id, start, ready, "end", pid,
		boot_id, exit, account, journal) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	changed, _, err := c.exec(insert+columns, run.ID, run.Kind, run.Name, string(command), run.TraceID[:], run.SpanID[:],
		run.ParentID[:], unixNano(run.Start), unixNano(run.Ready), unixNano(run.End), int64(run.PID), run.BootID, exit,
		string(account), run.Journal)
	return changed > 0, err
}

// unixNano is the stored form of a time: 0 for the zero time.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromUnixNano(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

const runColumns = `id, kind, name, command, trace_id, span_id, parent_id, start, ready, "end", pid, boot_id, exit, account,
	journal`

// scanRun turns the columns of runColumns into a Run.
func scanRun(v []driver.Value) (Run, error) {
	var r Run
	r.ID, _ = v[0].(string)
	r.Kind, _ = v[1].(string)
	r.Name, _ = v[2].(string)
	command, _ := v[3].(string)
	for i, id := range [...][]byte{r.TraceID[:], r.SpanID[:], r.ParentID[:]} {
		b, _ := v[4+i].([]byte)
		copy(id, b)
	}
	for i, t := range [...]*time.Time{&r.Start, &r.Ready, &r.End} {
		n, _ := v[7+i].(int64)
		*t = fromUnixNano(n)
	}
	pid, _ := v[10].(int64)
	r.PID = int(pid)
	r.BootID, _ = v[11].(string)
	exit, exited := v[12].(string)
	account, _ := v[13].(string)
	r.Journal, _ = v[14].(string)
	if exited {
		r.Exit = &Exit{}
		if err := json.Unmarshal([]byte(exit), r.Exit); err != nil {
			return r, fmt.Errorf("read run %s: %w", r.ID, err)
		}
	}
	if err := json.Unmarshal([]byte(command), &r.Command); err != nil {
		return r, fmt.Errorf("read run %s: %w", r.ID, err)
	}
	if err := json.Unmarshal([]byte(account), &r.Account); err != nil {
		return r, fmt.Errorf("read run %s: %w", r.ID, err)
	}
	return r, nil
}

// runs returns the runs that the rest of a query selects. They are few: a connection of their own, which costs more than the
// query, is not opened for them.
func (s *Store) runs(ctx context.Context, rest string, args ...any) (runs []Run, err error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read runs: %w", err)
	}
	err = s.change(func(c *conn) error {
		return c.query("SELECT "+runColumns+" FROM run "+rest, func(columns []driver.Value) error {
			r, err := scanRun(columns)
			runs = append(runs, r)
			return err
		}, args...)
	})
	if err != nil {
		return nil, explain("read runs", err)
	}
	return runs, nil
}

// Runs returns the runs, newest first.
func (s *Store) Runs(ctx context.Context) ([]Run, error) {
	return s.runs(ctx, "ORDER BY start DESC, rowid DESC")
}

// FindRun returns the run that ref names: "" and "last" the latest, "-2" the one before it, any unique prefix of an id (in
// either case), or a name (the latest of that name). An id goes before a name. ErrNotFound when there is none; an ambiguous
// prefix is an error that lists the candidates.
func (s *Store) FindRun(ctx context.Context, ref string) (Run, error) {
	if ref == "" || ref == "last" {
		ref = "-1"
	}
	if back, err := strconv.Atoi(ref); err == nil && back < 0 {
		runs, err := s.runs(ctx, "ORDER BY start DESC, rowid DESC LIMIT 1 OFFSET ?", int64(-back-1))
		return one(runs, ref, err)
	}
	runs, err := s.runs(ctx, "WHERE substr(id, 1, length(?1)) = ?1 ORDER BY start DESC, rowid DESC", strings.ToUpper(ref))
	if err != nil || len(runs) == 1 {
		return one(runs, ref, err)
	}
	named, err := s.runs(ctx, "WHERE name = ? ORDER BY start DESC, rowid DESC LIMIT 1", ref)
	if err != nil || len(named) == 1 || len(runs) == 0 {
		return one(named, ref, err)
	}
	var candidates []string
	for _, r := range runs {
		candidates = append(candidates, r.ID+" "+r.Name)
	}
	const shown = 10
	if n := len(candidates) - shown; n > 0 {
		candidates = append(candidates[:shown], fmt.Sprintf("%d more", n))
	}
	return Run{}, fmt.Errorf("run %s is ambiguous: %s", ref, strings.Join(candidates, ", "))
}

func one(runs []Run, ref string, err error) (Run, error) {
	switch {
	case err != nil:
		return Run{}, err
	case len(runs) == 0:
		return Run{}, fmt.Errorf("run %s: %w", ref, ErrNotFound)
	}
	return runs[0], nil
}
