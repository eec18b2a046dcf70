package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// conn is one connection to SQLite with its prepared statements. It is used by one goroutine at a time. The driver is used
// without database/sql, whose pool and transaction objects would cost more than some of our statements.
type conn struct {
	c     driver.Conn
	stmts map[string]driver.Stmt
}

// The journal's size that SQLite cuts it back to, and what a page of the database takes in it, in bytes.
const (
	journalLimit = 16 << 20
	journalPage  = 4096 + 24
)

// openConn opens the file at path, which exists already, or the memory store. A statement that finds the file locked by
// another process waits up to 10 s.
func openConn(path string) (*conn, error) {
	dsn := Memory
	if path != Memory {
		dsn = (&url.URL{Scheme: "file", OmitHost: true, Path: uriPath(path), RawQuery: "mode=rw"}).String()
	}
	c, err := (&sqlite.Driver{}).Open(dsn)
	if err != nil {
		return nil, err
	}
	db := &conn{c: c, stmts: make(map[string]driver.Stmt)}
	// A journal that a large transaction has blown up is cut back; the pages make the same size between checkpoints.
	settings := fmt.Sprintf("PRAGMA busy_timeout=10000; PRAGMA synchronous=NORMAL; PRAGMA journal_size_limit=%d; "+
		"PRAGMA wal_autocheckpoint=%d", journalLimit, journalLimit/journalPage)
	if err := db.script(settings); err != nil {
		return nil, errors.Join(err, db.close())
	}
	return db, nil
}

// script runs statements that are used once and return nothing of interest.
func (c *conn) script(statements string) error {
	_, err := c.c.(driver.ExecerContext).ExecContext(context.Background(), statements, nil)
	return err
}

// prepare returns the prepared statement of a query; queries are constants, so their number is bounded.
func (c *conn) prepare(query string) (driver.Stmt, error) {
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	s, err := c.c.Prepare(query)
	if err != nil {
		return nil, err
	}
	c.stmts[query] = s
	return s, nil
}

// exec runs a statement and returns the number of rows it changed and the id of the row it inserted.
func (c *conn) exec(query string, args ...any) (changed, id int64, err error) {
	s, err := c.prepare(query)
	if err != nil {
		return 0, 0, err
	}
	res, err := s.(driver.StmtExecContext).ExecContext(context.Background(), values(args))
	if err != nil {
		return 0, 0, err
	}
	changed, _ = res.RowsAffected()
	id, _ = res.LastInsertId()
	return changed, id, nil
}

// errStop ends a query from its row function; the query then returns nil.
var errStop = errors.New("stop")

// query runs a statement and calls row with each row's columns, valid until row returns (blobs and strings longer).
func (c *conn) query(query string, row func(columns []driver.Value) error, args ...any) error {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(context.Background(), values(args))
	if err != nil {
		return err
	}
	columns := make([]driver.Value, len(rows.Columns()))
	for {
		if err = rows.Next(columns); err == nil {
			err = row(columns)
		}
		if err != nil {
			break
		}
	}
	if err == io.EOF || err == errStop {
		err = nil
	}
	return errors.Join(err, rows.Close())
}

// integer returns the single integer that a query yields; 0 when it yields no row or NULL.
func (c *conn) integer(query string, args ...any) (n int64, err error) {
	err = c.query(query, func(columns []driver.Value) error {
		n, _ = columns[0].(int64)
		return errStop
	}, args...)
	return n, err
}

// transaction runs fn between BEGIN IMMEDIATE, which takes the write lock at once, and COMMIT; an error rolls back.
func (c *conn) transaction(fn func() error) error {
	if _, _, err := c.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := fn()
	if err == nil {
		_, _, err = c.exec("COMMIT")
	}
	if err != nil {
		// SQLite has rolled back by itself after some errors (a full disk); then this one says that there is nothing to do.
		_, _, _ = c.exec("ROLLBACK")
	}
	return err
}

// close closes the connection. The last one on a file moves the journal into it.
func (c *conn) close() error {
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.c.Close())...)
}

func values(args []any) []driver.NamedValue {
	named := make([]driver.NamedValue, len(args))
	for i, a := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	return named
}

// code returns SQLite's primary result code of err, 0 when it is none of SQLite's.
func code(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// damaged reports whether err says that the file is not a sound database.
func damaged(err error) bool {
	c := code(err)
	return errors.Is(err, errDamaged) || c == sqlite3.SQLITE_CORRUPT || c == sqlite3.SQLITE_NOTADB
}

// explain puts the usual causes of SQLite's errors into words for the user.
func explain(doing string, err error) error {
	switch code(err) {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%s: no space left on the disk: %w", doing, err)
	case sqlite3.SQLITE_BUSY:
		return fmt.Errorf("%s: another process held the database for more than 10 s: %w", doing, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("%s: the file or its folder is not writable: %w", doing, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%s: the database is damaged: %w", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
