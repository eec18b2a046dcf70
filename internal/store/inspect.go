package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Health is the state of a store's file.
type Health struct {
	Missing  bool   // there is no file yet
	Network  bool   // its folder is on a network file system: the store would be elsewhere
	Schema   int    // of the file
	Known    int    // schema that this program writes
	Bytes    int64  // of the database and its journal
	Runs     int64  // runs that are stored
	Waiting  int64  // requests that wait to be passed on, counted once a backend
	Dead     int64  // requests that backends do not take
	Damage   string // what is wrong with it; empty when it was read through and nothing is
	Complete bool   // it was read through
}

// Inspect looks at the store at path and changes nothing: a damaged file is left where it is, and no journal is folded in. It
// reads all of the file, until ctx ends. An error says that it cannot be opened.
func Inspect(ctx context.Context, path string) (Health, error) {
	h := Health{Known: len(migrations)}
	path, err := filepath.Abs(path)
	if err != nil {
		return h, fmt.Errorf("inspect store: %w", err)
	}
	h.Network = onNetwork(filepath.Dir(path))
	for _, suffix := range [...]string{"", "-wal"} {
		info, err := os.Stat(path + suffix)
		switch {
		case err == nil && info.IsDir():
			return h, fmt.Errorf("inspect store: %s is a folder", path)
		case err == nil:
			h.Bytes += info.Size()
		case suffix == "" && errors.Is(err, os.ErrNotExist):
			h.Missing = true
			return h, nil
		case suffix == "":
			return h, fmt.Errorf("inspect store: %w", err)
		}
	}
	c, err := openConn(path)
	if err != nil {
		return h.verdict(err)
	}
	defer c.close()
	if h.Schema, err = version(c); err != nil {
		return h.verdict(err)
	}
	if h.Schema == 0 {
		h.Complete = true
		return h, nil // made and not used yet
	}
	if h.Runs, err = c.integer("SELECT count(*) FROM run"); err != nil {
		return h.verdict(err)
	}
	const withRoutes = 5 // schema that has them
	if h.Schema >= withRoutes {
		const waiting = "SELECT count(*) FROM forward_route r JOIN request q ON q.run = r.run AND q.id > r.position"
		if h.Waiting, err = c.integer(waiting); err == nil {
			h.Dead, err = c.integer("SELECT count(*) FROM forward_dead")
		}
		if err != nil {
			return h.verdict(err)
		}
	}
	return h.verdict(c.quickCheck(ctx, &h))
}

// verdict tells damage from other errors.
func (h *Health) verdict(err error) (Health, error) {
	switch {
	case err == nil:
	case damaged(err):
		h.Damage = err.Error()
	default:
		return *h, explain("inspect store", err)
	}
	return *h, nil
}

// quickCheck reads the file through until ctx ends.
func (c *conn) quickCheck(ctx context.Context, h *Health) error {
	rows, err := c.c.(driver.QueryerContext).QueryContext(ctx, "PRAGMA quick_check(1)", nil)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	columns := make([]driver.Value, len(rows.Columns()))
	err = rows.Next(columns)
	switch {
	case ctx.Err() != nil, err == io.EOF:
		err = nil
	case err == nil:
		h.Complete = true
		if columns[0] != "ok" {
			h.Damage = fmt.Sprint(columns[0])
		}
	}
	return errors.Join(err, rows.Close())
}
