package store

import (
	"context"
	"database/sql/driver"
	"fmt"
	"time"
)

// removeRows is how many requests one transaction removes, so that senders do not wait long.
const removeRows = 256

// Remove deletes runs with their requests and gives the space back to the file system. A run that is not there is no error.
func (s *Store) Remove(ctx context.Context, runs ...string) error {
	for _, run := range runs {
		if err := s.removeRun(ctx, run); err != nil {
			return explain("remove run "+run, err)
		}
	}
	if err := s.shrink(ctx); err != nil {
		return explain("shrink store", err)
	}
	return nil
}

func (s *Store) removeRun(ctx context.Context, run string) error {
	const query = "DELETE FROM request WHERE id IN (SELECT id FROM request WHERE run = ? ORDER BY id LIMIT ?)"
	if err := s.removeRequests(ctx, query, run, int64(removeRows)); err != nil {
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

// removeRequests repeats a statement that deletes some requests until it finds no more.
func (s *Store) removeRequests(ctx context.Context, query string, args ...any) error {
	for changed := int64(1); changed > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.change(func(c *conn) (err error) {
			changed, _, err = c.exec(query, args...)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// shrink drops the blocks of the index that cover no request any more and hands free pages back to the file system.
func (s *Store) shrink(ctx context.Context) error {
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
			if err := c.query("PRAGMA incremental_vacuum(1024)", func([]driver.Value) error { return nil }); err != nil {
				return err
			}
			free, err = c.integer("PRAGMA freelist_count")
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

const usedQuery = `SELECT (p.page_count - f.freelist_count) * s.page_size
	FROM pragma_page_count AS p, pragma_freelist_count AS f, pragma_page_size AS s`

// capsExceeded is a quick look at whether enforceCaps may have something to do.
func (s *Store) capsExceeded(c *conn) (bool, error) {
	used, err := c.integer(usedQuery)
	if err != nil || used > s.opts.MaxBytes {
		return true, err
	}
	before := time.Now().Add(-s.opts.MaxAge).UnixNano()
	for _, query := range [...]string{"SELECT min(start) FROM run", oldestStrayQuery} {
		oldest, err := c.integer(query)
		if err != nil || oldest != 0 && oldest < before {
			return true, err
		}
	}
	return false, nil
}

// enforceCaps removes what is too old, and the oldest while the file is too large.
func (s *Store) enforceCaps(ctx context.Context) error {
	removed, err := s.enforceAge(ctx)
	if err != nil {
		return err
	}
	shrunk, err := s.enforceSize(ctx)
	if err != nil {
		return err
	}
	if removed || shrunk {
		return s.shrink(ctx)
	}
	return nil
}

// enforceAge removes runs whose start and last request lie before the age cap, and requests without a run that do.
func (s *Store) enforceAge(ctx context.Context) (removed bool, err error) {
	before := time.Now().Add(-s.opts.MaxAge).UnixNano()
	old, err := s.runs(ctx, `WHERE start < ?1 AND "end" < ?1 AND NOT EXISTS
		(SELECT 1 FROM request WHERE request.run = run.id AND received >= ?1) ORDER BY start`, before)
	if err != nil {
		return false, err
	}
	for _, r := range old {
		if err := s.removeRun(ctx, r.ID); err != nil {
			return true, err
		}
		age := days(s.opts.MaxAge)
		s.notify(fmt.Sprintf("removed run %s (%s, %s): older than %s", r.ID, r.Name, r.Start.Format(time.DateTime), age))
	}
	stray, err := s.oldestStray()
	if err != nil || stray == 0 || stray >= before {
		return len(old) > 0, err
	}
	const query = "DELETE FROM request WHERE id IN (SELECT id FROM request WHERE run = '' AND received < ? ORDER BY id LIMIT ?)"
	if err := s.removeRequests(ctx, query, before, int64(removeRows)); err != nil {
		return true, err
	}
	s.notify("removed requests without a run: older than " + days(s.opts.MaxAge))
	return true, nil
}

const oldestStrayQuery = "SELECT received FROM request WHERE run = '' ORDER BY id LIMIT 1"

// oldestStray returns when the oldest request without a run arrived; 0 when there is none.
func (s *Store) oldestStray() (received int64, err error) {
	err = s.read(func(c *conn) (err error) {
		received, err = c.integer(oldestStrayQuery)
		return err
	})
	return received, err
}

func days(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
	return d.String()
}

// enforceSize removes what was derived, then the oldest runs, until the database holds less than the size cap. Of the run that the newest request
// belongs to, and of requests without a run, only the oldest requests go.
func (s *Store) enforceSize(ctx context.Context) (removed bool, err error) {
	told := make(map[string]bool)
	for {
		var used, oldest, newest int64
		var run, live string
		err := s.read(func(c *conn) (err error) {
			if used, err = c.integer(usedQuery); err != nil || used <= s.opts.MaxBytes {
				return err
			}
			if oldest, run, err = edge(c, "SELECT id, run FROM request ORDER BY id LIMIT 1"); err != nil {
				return err
			}
			newest, live, err = edge(c, "SELECT id, run FROM request ORDER BY id DESC LIMIT 1")
			return err
		})
		if err != nil || used <= s.opts.MaxBytes || oldest == newest {
			return removed, err
		}
		removed = true
		if dropped, err := s.dropDerived(); err != nil || dropped {
			if err != nil {
				return removed, err
			}
			continue
		}
		if run != "" && run != live {
			err = s.removeRun(ctx, run)
		} else {
			err = s.change(func(c *conn) error {
				const query = "DELETE FROM request WHERE id >= ? AND id < ? AND run = ?"
				_, _, err := c.exec(query, oldest, min(oldest+removeRows, newest), run)
				return err
			})
		}
		if err != nil {
			return removed, err
		}
		if !told[run] {
			told[run] = true
			s.notify(sizeMessage(run, run == live, s.opts.MaxBytes))
		}
	}
}

// dropDerived removes some of what was derived from requests, and reports whether there was any.
func (s *Store) dropDerived() (dropped bool, err error) {
	err = s.change(func(c *conn) error {
		const query = "DELETE FROM derived WHERE rowid IN (SELECT rowid FROM derived ORDER BY rowid LIMIT 16)"
		changed, _, err := c.exec(query)
		dropped = changed > 0
		return err
	})
	return dropped, err
}

// edge returns the id and run of the request that a query selects.
func edge(c *conn, query string) (id int64, run string, err error) {
	err = c.query(query, func(columns []driver.Value) error {
		id, _ = columns[0].(int64)
		run, _ = columns[1].(string)
		return errStop
	})
	return id, run, err
}

func sizeMessage(run string, live bool, limit int64) string {
	what := "run " + run
	switch {
	case run == "":
		what = "the oldest requests without a run"
	case live:
		what = "the oldest requests of run " + run
	}
	return fmt.Sprintf("removed %s: the database holds more than %d MiB", what, limit>>20)
}
