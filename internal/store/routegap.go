package store

import (
	"context"
	"database/sql/driver"
)

// Requests without a run come for whoever receives them at the time. A gap holds those that came for others: they are no business
// of a route. Its end is endless while it grows.
const endless = 1 << 62

// wanted is the condition that a request is a route's business.
const wanted = "NOT EXISTS (SELECT 1 FROM forward_gap AS g WHERE g.route = r.id AND request.id BETWEEN g.first AND g.last)"

// TakeOver has the requests without a run that come from now on be the business of a route, and no more that of routes which nobody
// forwards any more. Who calls it holds the route's lock.
func (s *Store) TakeOver(ctx context.Context, route int64) error {
	others, err := s.routes(ctx, `WHERE r.run = '' AND r.id <> ?1
		AND NOT EXISTS (SELECT 1 FROM forward_gap WHERE route = r.id AND last = ?2)`, route, int64(endless))
	if err != nil {
		return err
	}
	for _, r := range others {
		unlock, ok, err := s.LockRoute(r.ID)
		if err != nil {
			return err
		}
		if !ok {
			continue // somebody receives for it, too
		}
		err = s.changeGap(`INSERT INTO forward_gap (route, first, last)
			SELECT ?1, coalesce(max(id), 0) + 1, ?2 FROM request`, r.ID, int64(endless))
		unlock()
		if err != nil {
			return err
		}
	}
	return s.changeGap(`UPDATE forward_gap SET last = (SELECT coalesce(max(id), 0) FROM request)
		WHERE route = ?1 AND last = ?2`, route, int64(endless))
}

func (s *Store) changeGap(query string, args ...any) error {
	err := s.change(func(c *conn) error {
		if _, _, err := c.exec(query, args...); err != nil {
			return err
		}
		_, _, err := c.exec("DELETE FROM forward_gap WHERE last <= (SELECT position FROM forward_route WHERE id = forward_gap.route)")
		return err
	})
	if err != nil {
		return explain("store route", err)
	}
	return nil
}

// RequestsOf is RequestsAfter without what is no business of a route of the run.
func (s *Store) RequestsOf(ctx context.Context, run string, route, after int64) ([]Request, error) {
	const query = "SELECT id, run, received, body FROM request WHERE run = ? AND id > ? AND NOT EXISTS " +
		"(SELECT 1 FROM forward_gap AS g WHERE g.route = ? AND id BETWEEN g.first AND g.last) ORDER BY id LIMIT ?"
	return s.page(ctx, query, run, after, route, int64(pageRows))
}

// unsent counts the requests of a run up to an id that have not been forwarded to all targets.
func (s *Store) unsent(run string, last int64) (n int64, err error) {
	const query = `SELECT count(*) FROM request WHERE run = ?1 AND id <= ?2
		AND EXISTS (SELECT 1 FROM forward_route AS r WHERE r.run = ?1 AND r.position < request.id AND ` + wanted + ")"
	return s.countUnsent(query, run, last)
}

// unsentBefore is unsent for the requests that arrived before a time.
func (s *Store) unsentBefore(run string, received int64) (n int64, err error) {
	const query = `SELECT count(*) FROM request WHERE run = ?1 AND received < ?2
		AND EXISTS (SELECT 1 FROM forward_route AS r WHERE r.run = ?1 AND r.position < request.id AND ` + wanted + ")"
	return s.countUnsent(query, run, received)
}

func (s *Store) countUnsent(query string, args ...any) (n int64, err error) {
	err = s.read(func(c *conn) error {
		return c.query(query, func(columns []driver.Value) error {
			n, _ = columns[0].(int64)
			return errStop
		}, args...)
	})
	return n, err
}
