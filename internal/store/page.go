package store

import (
	"context"
	"database/sql/driver"
	"fmt"
)

// Page is stored requests of one run that follow each other: all with After < id ≤ Last. Its methods may be called on several
// pages at once.
type Page struct {
	After, Last int64
	Rows        int
	bodies      [][]byte // compressed
}

// Page returns the requests of a run that follow the one with id after and go no further than last, which may be
// math.MaxInt64: as many as have about bytes of compressed bodies. A page without rows says that there are no more.
func (s *Store) Page(ctx context.Context, run string, after, last int64, bytes int) (Page, error) {
	p := Page{After: after, Last: after}
	if err := ctx.Err(); err != nil {
		return p, fmt.Errorf("read requests: %w", err)
	}
	size := 0
	const query = "SELECT id, body FROM request WHERE run = ? AND id > ? AND id <= ? ORDER BY id"
	err := s.read(func(c *conn) error {
		return c.query(query, func(columns []driver.Value) error {
			p.Last, _ = columns[0].(int64)
			body, _ := columns[1].([]byte)
			p.bodies = append(p.bodies, body)
			if size += len(body); size >= bytes {
				return errStop
			}
			return nil
		}, run, after, last)
	})
	if err != nil {
		return Page{}, explain("read requests", err)
	}
	p.Rows = len(p.bodies)
	return p, nil
}

// Bodies calls fn with the protobuf of each request, valid until fn returns. An error of fn ends it.
func (p *Page) Bodies(fn func(body []byte) error) error {
	var buf []byte
	for i, compressed := range p.bodies {
		body, err := decoder().DecodeAll(compressed, buf[:0])
		if err != nil {
			return fmt.Errorf("read request %d of those after %d: %w: %w", i, p.After, errDamaged, err)
		}
		if err := fn(body); err != nil {
			return err
		}
		buf = body
	}
	return nil
}
