package store

import (
	"database/sql/driver"
	"errors"
	"fmt"
)

// applicationID marks the file as ours ("Fksp"), so that another program's database is never touched.
const applicationID = 0x466b7370

// migrations bring a database from the schema version of their index to the next. Their number is the version that this
// program writes. A released migration never changes.
var migrations = []string{
	`CREATE TABLE run (
		id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, command TEXT NOT NULL,
		trace_id BLOB NOT NULL, span_id BLOB NOT NULL, parent_id BLOB NOT NULL,
		start INTEGER NOT NULL, ready INTEGER NOT NULL, "end" INTEGER NOT NULL,
		pid INTEGER NOT NULL, boot_id TEXT NOT NULL, exit TEXT, account TEXT NOT NULL);
	CREATE INDEX run_start ON run (start);
	CREATE TABLE request (
		id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, received INTEGER NOT NULL,
		summary BLOB NOT NULL, body BLOB NOT NULL);
	CREATE INDEX request_run ON request (run);
	CREATE TABLE trace_block (first INTEGER PRIMARY KEY, last INTEGER NOT NULL);
	CREATE TABLE trace_chunk (block INTEGER NOT NULL, high INTEGER NOT NULL, entries BLOB NOT NULL);
	CREATE INDEX trace_chunk_high ON trace_chunk (block, high);`,
	`CREATE TABLE derived (
		run TEXT NOT NULL, kind TEXT NOT NULL, low INTEGER NOT NULL, high INTEGER NOT NULL, requests INTEGER NOT NULL,
		items INTEGER NOT NULL, data BLOB NOT NULL);
	CREATE INDEX derived_run ON derived (run, kind, high);`,
	`ALTER TABLE run ADD COLUMN journal TEXT NOT NULL DEFAULT '';
	CREATE TABLE process (
		run TEXT NOT NULL, pid INTEGER NOT NULL, start INTEGER NOT NULL, facts TEXT NOT NULL,
		PRIMARY KEY (run, pid, start)) WITHOUT ROWID;`,
	`CREATE TABLE open_span (
		span_id BLOB NOT NULL, trace_id BLOB NOT NULL, started INTEGER NOT NULL, ended INTEGER NOT NULL, state BLOB NOT NULL,
		PRIMARY KEY (span_id, trace_id)) WITHOUT ROWID;`,
	`CREATE TABLE forward_target (
		id INTEGER PRIMARY KEY, protocol TEXT NOT NULL, address TEXT NOT NULL, needs TEXT NOT NULL,
		UNIQUE (protocol, address));
	CREATE TABLE forward_route (
		id INTEGER PRIMARY KEY AUTOINCREMENT, target INTEGER NOT NULL, run TEXT NOT NULL, position INTEGER NOT NULL,
		ahead TEXT NOT NULL DEFAULT '[]', options TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT 0,
		rejected INTEGER NOT NULL DEFAULT 0, removed INTEGER NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT '',
		failed INTEGER NOT NULL DEFAULT 0, UNIQUE (target, run));
	CREATE INDEX forward_route_run ON forward_route (run);
	CREATE TABLE forward_dead (
		id INTEGER PRIMARY KEY AUTOINCREMENT, route INTEGER NOT NULL, spans INTEGER NOT NULL, reason TEXT NOT NULL,
		access INTEGER NOT NULL, time INTEGER NOT NULL, body BLOB NOT NULL);
	CREATE INDEX forward_dead_route ON forward_dead (route);
	CREATE TRIGGER request_unsent AFTER DELETE ON request
	WHEN EXISTS (SELECT 1 FROM forward_route WHERE run = OLD.run AND position < OLD.id)
	BEGIN UPDATE forward_route SET removed = removed + 1 WHERE run = OLD.run AND position < OLD.id; END;
	CREATE TRIGGER run_forwarded AFTER DELETE ON run
	BEGIN
		DELETE FROM forward_dead WHERE route IN (SELECT id FROM forward_route WHERE run = OLD.id);
		DELETE FROM forward_route WHERE run = OLD.id AND removed = 0;
	END;`,
	`ALTER TABLE forward_route ADD COLUMN finishing INTEGER NOT NULL DEFAULT 0;`,
	`CREATE TABLE forward_identity (
		id INTEGER PRIMARY KEY, protocol TEXT NOT NULL, address TEXT NOT NULL, identity TEXT NOT NULL, needs TEXT NOT NULL,
		UNIQUE (protocol, address, identity));
	INSERT INTO forward_identity SELECT id, protocol, address, '', needs FROM forward_target;
	DROP TABLE forward_target;
	ALTER TABLE forward_identity RENAME TO forward_target;
	ALTER TABLE forward_route ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;
	ALTER TABLE forward_route ADD COLUMN begun_spans INTEGER NOT NULL DEFAULT 0;
	CREATE TABLE forward_gap (route INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL);
	DROP TRIGGER request_unsent;
	CREATE TRIGGER request_unsent AFTER DELETE ON request
	BEGIN UPDATE forward_route SET removed = removed + 1 WHERE run = OLD.run AND position < OLD.id
		AND NOT EXISTS (SELECT 1 FROM forward_gap WHERE route = forward_route.id AND OLD.id BETWEEN first AND last); END;`,
}

// errForeign says that the file is somebody else's database.
var errForeign = errors.New("not a forkspan database")

// version returns the file's schema version: 0 for an empty database.
func version(c *conn) (int, error) {
	var application, user, objects int64
	const query = `SELECT a.application_id, u.user_version, (SELECT count(*) FROM sqlite_schema)
		FROM pragma_application_id AS a, pragma_user_version AS u`
	err := c.query(query, func(columns []driver.Value) error {
		application, _ = columns[0].(int64)
		user, _ = columns[1].(int64)
		objects, _ = columns[2].(int64)
		return errStop
	})
	switch {
	case err != nil:
		return 0, err
	case application != applicationID && (application != 0 || user != 0 || objects != 0):
		return 0, errForeign
	case user > int64(len(migrations)):
		return 0, fmt.Errorf("%w (schema %d, this one knows %d)", ErrNewer, user, len(migrations))
	}
	return int(user), nil
}

// migrate brings the database to this program's schema. The caller holds the lock file exclusively when the file has data.
func migrate(c *conn) error {
	from, err := version(c)
	if err != nil || from == len(migrations) {
		return err
	}
	if from == 0 {
		// Both take effect only before the first table is made.
		if err := c.script("PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL"); err != nil {
			return err
		}
	}
	return c.transaction(func() error {
		// Another process may have been faster.
		if from, err = version(c); err != nil {
			return err
		}
		for v := from; v < len(migrations); v++ {
			if err := c.script(migrations[v]); err != nil {
				return fmt.Errorf("migrate schema %d: %w", v, err)
			}
		}
		return c.script(fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=%d", applicationID, len(migrations)))
	})
}
