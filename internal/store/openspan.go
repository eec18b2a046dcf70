package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
)

// OpenSpan is a span that one process has started and another is to end. It is kept beside the requests, since a span may
// belong to a run whose requests another store has.
type OpenSpan struct {
	TraceID otlp.TraceID
	SpanID  otlp.SpanID
	Started time.Time // when it was put here
	Ended   bool      // kept for a while without State, so that it is known that the span has ended
	State   []byte    // what the caller needs to end it
}

// ErrExists says that there is such a span already.
var ErrExists = errors.New("already there")

// How long open spans are remembered, and that they have ended.
const (
	rememberOpen  = 30 * 24 * time.Hour
	rememberEnded = 24 * time.Hour
)

// AddOpenSpan remembers a span; ErrExists when one of its ids is known already.
func (s *Store) AddOpenSpan(ctx context.Context, span OpenSpan) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store open span: %w", err)
	}
	added := int64(0)
	err := s.change(func(c *conn) (err error) {
		if rand.N(16) == 0 { // now and then is often enough
			const forget = "DELETE FROM open_span WHERE started < CASE WHEN ended THEN ? ELSE ? END"
			now := span.Started
			if _, _, err := c.exec(forget, now.Add(-rememberEnded).UnixNano(), now.Add(-rememberOpen).UnixNano()); err != nil {
				return err
			}
		}
		const query = "INSERT OR IGNORE INTO open_span (span_id, trace_id, started, ended, state) VALUES (?, ?, ?, 0, ifnull(?, x''))"
		added, _, err = c.exec(query, span.SpanID[:], span.TraceID[:], span.Started.UnixNano(), span.State)
		return err
	})
	if err == nil && added == 0 {
		err = ErrExists
	}
	if err != nil {
		return explain("store open span", err)
	}
	return nil
}

// FindOpenSpans returns the spans with an id, of any trace.
func (s *Store) FindOpenSpans(ctx context.Context, id otlp.SpanID) (spans []OpenSpan, err error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("find open span: %w", err)
	}
	err = s.read(func(c *conn) (err error) {
		spans, err = findOpenSpans(c, id)
		return err
	})
	if err != nil {
		return nil, explain("find open span", err)
	}
	return spans, nil
}

func findOpenSpans(c *conn, id otlp.SpanID) (spans []OpenSpan, err error) {
	const query = "SELECT trace_id, started, ended, state FROM open_span WHERE span_id = ?"
	err = c.query(query, func(columns []driver.Value) error {
		span := OpenSpan{SpanID: id}
		trace, _ := columns[0].([]byte)
		copy(span.TraceID[:], trace)
		started, _ := columns[1].(int64)
		ended, _ := columns[2].(int64)
		state, _ := columns[3].([]byte)
		span.Started, span.Ended, span.State = time.Unix(0, started), ended != 0, append([]byte(nil), state...)
		spans = append(spans, span)
		return nil
	}, id[:])
	return spans, err
}

// ChangeOpenSpan lets change look at a span and change its Ended and State, alone among all processes. ErrNotFound when there
// is none. An error of change is returned, and nothing is changed.
func (s *Store) ChangeOpenSpan(ctx context.Context, trace otlp.TraceID, id otlp.SpanID, change func(*OpenSpan) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("change open span: %w", err)
	}
	var refused error
	err := s.change(func(c *conn) error {
		return c.transaction(func() error {
			spans, err := findOpenSpans(c, id)
			if err != nil {
				return err
			}
			for i := range spans {
				if spans[i].TraceID != trace {
					continue
				}
				if refused = change(&spans[i]); refused != nil {
					return refused
				}
				const query = "UPDATE open_span SET ended = ?, state = ifnull(?, x'') WHERE span_id = ? AND trace_id = ?"
				ended := int64(0)
				if spans[i].Ended {
					ended = 1
				}
				_, _, err := c.exec(query, ended, spans[i].State, id[:], trace[:])
				return err
			}
			refused = ErrNotFound
			return refused
		})
	})
	switch {
	case refused != nil:
		return refused
	case err != nil:
		return explain("change open span", err)
	}
	return nil
}
