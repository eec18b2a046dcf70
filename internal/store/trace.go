package store

import (
	"bytes"
	"context"
	"database/sql/driver"
	"fmt"
	"iter"
	"slices"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
)

// TraceInfo is one trace of a run, from the summaries alone.
type TraceInfo struct {
	TraceID otlp.TraceID
	Root    string
	Spans   int
	Errors  int
	Start   time.Time
	End     time.Time // zero when no span has ended
}

// Traces returns the traces of a run, earliest first; run "" means of every run and of none.
func (s *Store) Traces(ctx context.Context, run string) ([]TraceInfo, error) {
	places := make(map[otlp.TraceID]int)
	var traces []TraceInfo
	err := s.summaries(ctx, run, func(_ int64, sum *otlp.Summary) {
		for i := range sum.Traces {
			t := &sum.Traces[i]
			at, known := places[t.TraceID]
			if !known {
				at = len(traces)
				places[t.TraceID] = at
				traces = append(traces, TraceInfo{TraceID: t.TraceID, Start: time.Unix(0, t.Start)})
			}
			traces[at].add(t)
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(traces, func(a, b TraceInfo) int { return a.Start.Compare(b.Start) })
	return traces, nil
}

// add adds a request's share of the trace.
func (t *TraceInfo) add(share *otlp.TraceSummary) {
	t.Spans += share.Spans
	t.Errors += share.Errors
	if t.Root == "" {
		t.Root = share.Root
	}
	if start := time.Unix(0, share.Start); start.Before(t.Start) {
		t.Start = start
	}
	if end := time.Unix(0, share.End); share.End != 0 && end.After(t.End) {
		t.End = end
	}
}

// Processes returns the processes that sent spans of a run, in order of first appearance; run "" means of every run and of none.
func (s *Store) Processes(ctx context.Context, run string) ([]otlp.ProcessSummary, error) {
	places := make(map[otlp.ProcessSummary]int)
	var processes []otlp.ProcessSummary
	err := s.summaries(ctx, run, func(_ int64, sum *otlp.Summary) {
		for _, p := range sum.Processes {
			spans := p.Spans
			p.Spans = 0
			at, known := places[p]
			if !known {
				at = len(processes)
				places[p] = at
				processes = append(processes, p)
			}
			processes[at].Spans += spans
		}
	})
	if err != nil {
		return nil, err
	}
	return processes, nil
}

// Matching yields the requests of a run whose summary match takes, in order of arrival. match is called for all of them before
// the first is read.
func (s *Store) Matching(ctx context.Context, run string, match func(*otlp.Summary) bool) iter.Seq2[Request, error] {
	return func(yield func(Request, error) bool) {
		var rows []int64
		err := s.summaries(ctx, run, func(id int64, sum *otlp.Summary) {
			if match(sum) {
				rows = append(rows, id)
			}
		})
		if err != nil {
			yield(Request{}, err)
			return
		}
		s.yieldRows(ctx, "read requests", rows, yield)
	}
}

// summaries calls fn with the id and the summary of each request of a run, of all requests for "", in order of arrival.
func (s *Store) summaries(ctx context.Context, run string, fn func(id int64, sum *otlp.Summary)) error {
	query := "SELECT id, summary FROM request WHERE run = ?2 AND id > ?1 ORDER BY id LIMIT ?3"
	if run == "" {
		query = "SELECT id, summary FROM request WHERE ?2 = '' AND id > ?1 ORDER BY id LIMIT ?3"
	}
	const rows = 1024
	for after, n := int64(0), rows; n == rows; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read summaries: %w", err)
		}
		n = 0
		err := s.read(func(c *conn) error {
			return c.query(query, func(columns []driver.Value) error {
				n++
				after, _ = columns[0].(int64)
				b, _ := columns[1].([]byte)
				sum, err := decodeSummary(b)
				if err == nil {
					fn(after, &sum)
				}
				return err
			}, after, run, int64(rows))
		})
		if err != nil {
			return explain("read summaries", err)
		}
	}
	return nil
}

// Trace yields the requests that hold spans of a trace, in order of arrival, found through the index by trace id. A trace that
// is not there yields nothing.
func (s *Store) Trace(ctx context.Context, id otlp.TraceID) iter.Seq2[Request, error] {
	return func(yield func(Request, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(Request{}, fmt.Errorf("find trace: %w", err))
			return
		}
		var rows []int64
		err := s.read(func(c *conn) (err error) {
			rows, err = findTrace(c, id)
			return err
		})
		if err != nil {
			yield(Request{}, explain("find trace", err))
			return
		}
		s.yieldRows(ctx, "read trace", rows, yield)
	}
}

// yieldRows yields the requests with the given ids; doing is for errors.
func (s *Store) yieldRows(ctx context.Context, doing string, rows []int64, yield func(Request, error) bool) {
	for _, row := range rows {
		if err := ctx.Err(); err != nil {
			yield(Request{}, fmt.Errorf("%s: %w", doing, err))
			return
		}
		page, err := s.requests("SELECT id, run, received, body FROM request WHERE id = ?", row)
		if err != nil {
			yield(Request{}, explain(doing, err))
			return
		}
		for _, r := range page { // none when the request was removed since
			if !yield(r, nil) {
				return
			}
		}
	}
}

// findTrace returns the ids of the requests that hold spans of a trace, ascending.
func findTrace(c *conn, id otlp.TraceID) (rows []int64, err error) {
	// Within one transaction no request can pass from the tail into the index unseen.
	if _, _, err := c.exec("BEGIN"); err != nil {
		return nil, err
	}
	defer func() {
		if _, _, err2 := c.exec("COMMIT"); err == nil {
			err = err2
		}
	}()
	candidates, indexed, err := lookUp(c, traceKey(id[:]))
	if err != nil {
		return nil, err
	}
	holds := func(columns []driver.Value) error {
		row, _ := columns[0].(int64)
		summary, _ := columns[1].([]byte)
		ids, err := traceIDs(summary)
		if err != nil {
			return err
		}
		for ; len(ids) > 0; ids = ids[16:] {
			if bytes.Equal(ids[:16], id[:]) {
				rows = append(rows, row)
				break
			}
		}
		return nil
	}
	for _, row := range candidates {
		if err := c.query("SELECT id, summary FROM request WHERE id = ?", holds, row); err != nil {
			return nil, err
		}
	}
	return rows, c.query("SELECT id, summary FROM request WHERE id > ? ORDER BY id", holds, indexed)
}
