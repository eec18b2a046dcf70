package store

import (
	"context"
	"database/sql/driver"
	"time"
)

// One transaction removes so many requests that senders do not wait long: as many as the one before could have in removeTime.
const (
	leastRemoved = 64
	mostRemoved  = 1 << 13
	removeTime   = 20 * time.Millisecond
)

// Remove deletes runs with their requests and gives the space back to the file system. A run that is not there is no error.
func (s *Store) Remove(ctx context.Context, runs ...string) error {
	for _, run := range runs {
		if err := s.removeRun(ctx, run); err != nil {
			return explain("remove run "+run, err)
		}
	}
	if err := s.shrink(ctx, 0); err != nil {
		return explain("shrink store", err)
	}
	return nil
}

func (s *Store) removeRun(ctx context.Context, run string) error {
	const query = "DELETE FROM request WHERE id IN (SELECT id FROM request WHERE run = ? ORDER BY id LIMIT ?)"
	if _, err := s.removeRequests(ctx, query, run); err != nil {
		return err
	}
	return s.change(func(c *conn) error {
		for _, table := range []string{"derived", "process"} {
			if _, _, err := c.exec("DELETE FROM "+table+" WHERE run = ?", run); err != nil {
				return err
			}
		}
		_, _, err := c.exec("DELETE FROM run WHERE id = ?", run)
		return err
	})
}

// removeRequests repeats a statement that deletes requests, at most as many as its last argument says, until it finds no more.
func (s *Store) removeRequests(ctx context.Context, query string, args ...any) (removed int64, err error) {
	args = append(args, int64(0))
	for most, changed := int64(leastRemoved), int64(1); changed > 0; {
		if err := ctx.Err(); err != nil {
			return removed, err
		}
		args[len(args)-1] = most
		began := time.Now()
		err := s.change(func(c *conn) (err error) {
			began = time.Now() // others may have held the connection for long
			changed, _, err = c.exec(query, args...)
			return err
		})
		if err != nil {
			return removed, err
		}
		removed += changed
		if took := time.Since(began); took < removeTime/2 {
			most = min(2*most, mostRemoved)
		} else if took > removeTime {
			most = max(most/2, leastRemoved)
		}
	}
	return removed, nil
}

// shrink drops the blocks of the index that cover no request any more and hands free pages back to the file system, until none
// is left or the file has no more than enough bytes.
func (s *Store) shrink(ctx context.Context, enough int64) error {
	const empty = `SELECT first FROM trace_block AS b WHERE NOT EXISTS
		(SELECT 1 FROM request WHERE id BETWEEN b.first AND b.last)
		AND last < (SELECT max(last) FROM trace_block)`
	err := s.change(func(c *conn) error {
		return c.transaction(func() error {
			if _, _, err := c.exec("DELETE FROM trace_chunk WHERE block IN (" + empty + ")"); err != nil {
				return err
			}
			_, _, err := c.exec("DELETE FROM trace_block WHERE first IN (" + empty + ")")
			return err
		})
	})
	if err != nil {
		return err
	}
	for free := int64(1); free > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.change(func(c *conn) (err error) {
			// The pragma is a query that frees one page a step.
			if err := c.query("PRAGMA incremental_vacuum(512)", func([]driver.Value) error { return nil }); err != nil {
				return err
			}
			if free, err = c.integer("PRAGMA freelist_count"); err != nil || free == 0 {
				return err
			}
			size, err := c.integer(sizeQuery)
			if size <= enough {
				free = 0
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return s.change(func(c *conn) error {
		// The file itself shrinks when the journal is moved into it.
		return c.query("PRAGMA wal_checkpoint(PASSIVE)", func([]driver.Value) error { return nil })
	})
}
