package store

import (
	"context"
	"database/sql/driver"
	"fmt"
)

// Derived is what a reader has worked out of stored requests of one run, those with After < id ≤ Last, and wants to find again.
// It is dropped with the requests.
type Derived struct {
	After, Last int64
	Rows        int // requests that it was worked out of
	Items       int // how much there is in Data, as its reader counts
	Data        []byte
}

// derivedRows counts the requests that something was derived from. Ids are never used again and requests never change, so that
// an equal count means the same requests.
const derivedRows = "SELECT count(*) FROM request WHERE run = ? AND id > ? AND id <= ?"

// Derived returns what readers of a kind have put for a run, by ascending ids and without overlap, but for the data. What was
// derived from requests of which some are gone is left out.
func (s *Store) Derived(ctx context.Context, run, kind string) ([]Derived, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read derived data: %w", err)
	}
	var all []Derived
	err := s.read(func(c *conn) error {
		const query = "SELECT low, high, requests, items FROM derived WHERE run = ? AND kind = ? ORDER BY high"
		err := c.query(query, func(columns []driver.Value) error {
			var d Derived
			d.After, _ = columns[0].(int64)
			d.Last, _ = columns[1].(int64)
			rows, _ := columns[2].(int64)
			items, _ := columns[3].(int64)
			d.Rows, d.Items = int(rows), int(items)
			all = append(all, d)
			return nil
		}, run, kind)
		if err != nil {
			return err
		}
		kept := all[:0]
		for _, d := range all {
			rows, err := c.integer(derivedRows, run, d.After, d.Last)
			if err != nil {
				return err
			}
			if int(rows) == d.Rows {
				kept = append(kept, d)
			}
		}
		all = kept
		return nil
	})
	if err != nil {
		return nil, explain("read derived data", err)
	}
	return all, nil
}

// DerivedData returns the data of d, which Derived has returned; nil when it has been removed or replaced since.
func (s *Store) DerivedData(ctx context.Context, run, kind string, d Derived) (data []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read derived data: %w", err)
	}
	err = s.read(func(c *conn) error {
		const query = "SELECT data FROM derived WHERE run = ? AND kind = ? AND high = ? AND low = ? AND requests = ?"
		return c.query(query, func(columns []driver.Value) error {
			data, _ = columns[0].([]byte)
			return errStop
		}, run, kind, d.Last, d.After, int64(d.Rows))
	})
	if err != nil {
		return nil, explain("read derived data", err)
	}
	return data, nil
}

// PutDerived keeps what a reader has derived from requests of a run, instead of what is there for any of them. Nothing is kept
// when some of the requests have been removed since.
func (s *Store) PutDerived(ctx context.Context, run, kind string, d Derived) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store derived data: %w", err)
	}
	err := s.change(func(c *conn) error {
		return c.transaction(func() error {
			rows, err := c.integer(derivedRows, run, d.After, d.Last)
			if err != nil || rows == 0 || int(rows) != d.Rows {
				return err
			}
			const replaced = "DELETE FROM derived WHERE run = ? AND kind = ? AND low < ? AND high > ?"
			if _, _, err := c.exec(replaced, run, kind, d.Last, d.After); err != nil {
				return err
			}
			const query = "INSERT INTO derived (run, kind, low, high, requests, items, data) VALUES (?, ?, ?, ?, ?, ?, ?)"
			_, _, err = c.exec(query, run, kind, d.After, d.Last, int64(d.Rows), int64(d.Items), d.Data)
			return err
		})
	})
	if err != nil {
		return explain("store derived data", err)
	}
	return nil
}
