package store

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// The size cap holds for what the store takes on disk, the journal included. room is what the database itself may take.
func (s *Store) room() int64 { return s.opts.MaxBytes - 2*journalShare(s.opts.MaxBytes) }

// journalShare is what the journal grows to between two checkpoints. Twice that is set aside for it.
func journalShare(limit int64) int64 { return min(journalLimit, limit/8) }

const (
	usedQuery = `SELECT (p.page_count - f.freelist_count) * s.page_size
		FROM pragma_page_count AS p, pragma_freelist_count AS f, pragma_page_size AS s`
	sizeQuery = "SELECT p.page_count * s.page_size FROM pragma_page_count AS p, pragma_page_size AS s"
)

// capsEvery and capsPause are how many transactions, and how long, lie between two looks at the caps at most; a 64th of the size
// cap of new requests is the third reason for one.
const (
	capsEvery = 256
	capsPause = 10 * time.Minute
)

// capsDue tells whether it is time to look at the caps. The caller holds writeMu.
func (s *Store) capsDue() bool {
	if s.looked.IsZero() || s.commits-s.lookedAt >= capsEvery || s.unlooked >= s.opts.MaxBytes/64 || time.Since(s.looked) >= capsPause {
		s.looked, s.lookedAt, s.unlooked = time.Now(), s.commits, 0
		return true
	}
	return false
}

// capsExceeded is a quick look at whether enforceCaps may have something to do.
func (s *Store) capsExceeded(c *conn) (bool, error) {
	used, err := c.integer(usedQuery)
	if err != nil || used > s.room() {
		return true, err
	}
	if file, err := c.integer(sizeQuery); err != nil || file > s.room() {
		return true, err
	}
	if s.journalTooLong() {
		return true, nil
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

// EnforceCaps does at once, for a command that has stored much and ends, what otherwise happens behind while requests come.
func (s *Store) EnforceCaps(ctx context.Context) error {
	s.behind.Wait()
	if err := s.enforceCaps(ctx); err != nil {
		return explain("look after the store", err)
	}
	return nil
}

// enforceCaps removes what is too old, and the oldest while the store is too large.
func (s *Store) enforceCaps(ctx context.Context) error {
	before, err := s.removedUnsent()
	if err != nil {
		return err
	}
	removed, err := s.enforceAge(ctx)
	if err != nil {
		return err
	}
	shrunk, err := s.enforceSize(ctx)
	if err != nil {
		return err
	}
	if removed || shrunk {
		after, err := s.removedUnsent()
		if err == nil && after > before {
			s.notify(fmt.Sprintf("%d requests of what was removed had not been sent to a backend", after-before))
		}
	}
	file := int64(0)
	err = s.read(func(c *conn) (err error) {
		file, err = c.integer(sizeQuery)
		return err
	})
	if err == nil && (removed || shrunk || file > s.room()) {
		// Pages that are free are used again by what comes next: only what is beyond the cap is given back.
		err = s.shrink(ctx, s.room())
	}
	if err == nil && s.journalTooLong() {
		err = s.cutJournal()
	}
	return err
}

// journalTooLong tells whether the files are larger than what is in them. SQLite begins the journal anew, and cuts the database's file,
// only in a moment when nobody reads; readers may have left it none for long.
func (s *Store) journalTooLong() bool {
	if s.Size() > s.opts.MaxBytes {
		return true
	}
	info, err := os.Stat(s.path + "-wal")
	return err == nil && s.path != Memory && info.Size() > 2*journalShare(s.opts.MaxBytes)
}

// cutJournal moves the journal into the database and waits for those who read from it; they do so for a page of an answer. When one
// takes longer than a second it is left for the next time.
func (s *Store) cutJournal() error {
	return s.change(func(c *conn) error {
		if err := c.script("PRAGMA busy_timeout=1000"); err != nil {
			return err
		}
		err := c.query("PRAGMA wal_checkpoint(TRUNCATE)", func([]driver.Value) error { return nil })
		if code(err) == sqlite3.SQLITE_BUSY {
			err = nil
		}
		return errors.Join(err, c.script("PRAGMA busy_timeout=10000"))
	})
}

// alive tells whether somebody still writes to a run.
func (s *Store) alive(r *Run) bool { return s.opts.Alive != nil && r.End.IsZero() && s.opts.Alive(*r) }

// enforceAge removes runs whose start and last request lie before the age cap, and requests without a run that do.
func (s *Store) enforceAge(ctx context.Context) (removed bool, err error) {
	before := time.Now().Add(-s.opts.MaxAge).UnixNano()
	old, err := s.runs(ctx, `WHERE start < ?1 AND "end" < ?1 AND NOT EXISTS
		(SELECT 1 FROM request WHERE request.run = run.id AND received >= ?1) ORDER BY start`, before)
	if err != nil {
		return false, err
	}
	age := days(s.opts.MaxAge)
	for i := range old {
		r := &old[i]
		if s.alive(r) {
			continue
		}
		unsent, err := s.unsent(r.ID, 1<<62)
		if err == nil {
			err = s.removeRun(ctx, r.ID)
		}
		if err != nil {
			return true, err
		}
		removed = true
		s.notify(fmt.Sprintf("removed run %s (%s, %s): older than %s%s", r.ID, r.Name, r.Start.Format(time.DateTime), age, unsentNote(unsent)))
	}
	stray, err := s.oldestStray()
	if err != nil || stray == 0 || stray >= before {
		return removed, err
	}
	unsent, err := s.unsentBefore("", before)
	if err != nil {
		return removed, err
	}
	const query = "DELETE FROM request WHERE id IN (SELECT id FROM request WHERE run = '' AND received < ? ORDER BY id LIMIT ?)"
	n, err := s.removeRequests(ctx, query, before)
	if n > 0 {
		s.notify(fmt.Sprintf("removed %d requests without a run: older than %s%s", n, age, unsentNote(unsent)))
	}
	return removed || n > 0, err
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

// holder is a run, or "" for none, that has requests.
type holder struct {
	run            string
	oldest, newest int64 // ids of its requests
	row            *Run  // nil when it has none yet, or is none
	alive          bool
}

// holders returns who has requests, the one with the oldest first.
func (s *Store) holders(ctx context.Context) ([]holder, error) {
	runs, err := s.Runs(ctx)
	if err != nil {
		return nil, err
	}
	rows := make(map[string]*Run, len(runs))
	for i := range runs {
		rows[runs[i].ID] = &runs[i]
	}
	// One step through the index a run, not one a request.
	const query = `WITH RECURSIVE held (run) AS (SELECT min(run) FROM request
		UNION ALL SELECT (SELECT min(run) FROM request WHERE request.run > held.run) FROM held WHERE held.run IS NOT NULL)
		SELECT run, (SELECT min(id) FROM request WHERE request.run = held.run),
			(SELECT max(id) FROM request WHERE request.run = held.run) FROM held WHERE run IS NOT NULL`
	var all []holder
	err = s.read(func(c *conn) error {
		return c.query(query, func(columns []driver.Value) error {
			var h holder
			h.run, _ = columns[0].(string)
			h.oldest, _ = columns[1].(int64)
			h.newest, _ = columns[2].(int64)
			if h.row = rows[h.run]; h.row != nil {
				h.alive = s.alive(h.row)
			}
			all = append(all, h)
			return nil
		})
	})
	if len(all) > 0 {
		// Whoever stored the newest request is taken to go on, unless it is known to have ended.
		newest := slices.MaxFunc(all, func(a, b holder) int { return cmp.Compare(a.newest, b.newest) }).run
		for i := range all {
			if h := &all[i]; h.run == newest && (h.row == nil || h.row.End.IsZero()) {
				h.alive = true
			}
		}
	}
	slices.SortFunc(all, func(a, b holder) int { return cmp.Compare(a.oldest, b.oldest) })
	return all, err
}

// victim returns whose requests go next, and whether all of them do: the oldest run that nobody writes to goes whole, requests of
// no run go one by one as they become the oldest. When there is nothing else, the oldest requests go of the run that remains.
func victim(all []holder) (h holder, whole bool) {
	for i := range all {
		switch {
		case all[i].run == "" && (i < len(all)-1 || len(all) == 1):
			return all[i], false
		case all[i].run != "" && !all[i].alive && len(all) > 1:
			return all[i], true
		}
	}
	return all[0], false
}

// enforceSize removes what was derived, then the oldest runs, until the database has room for more. Running runs and the last
// one only lose their oldest requests, when nothing else is left.
func (s *Store) enforceSize(ctx context.Context) (removed bool, err error) {
	room := s.room()
	trimmed := make(map[string]*trim)
	defer func() {
		for run, t := range trimmed {
			s.notify(s.sizeMessage(t.String(run), t.unsent))
		}
	}()
	for ctx.Err() == nil {
		var used int64
		err := s.read(func(c *conn) (err error) {
			used, err = c.integer(usedQuery)
			return err
		})
		if err != nil || used <= room {
			return removed, err
		}
		if !removed {
			removed, room = true, room-room/32 // some more, or it would begin again at once
		}
		if dropped, err := s.dropDerived(); err != nil || dropped {
			if err != nil {
				return removed, err
			}
			continue
		}
		all, err := s.holders(ctx)
		if err != nil || len(all) == 0 || len(all) == 1 && all[0].oldest == all[0].newest {
			return removed, err // there is nothing that could go
		}
		h, whole := victim(all)
		if whole {
			err = s.removeForSize(ctx, h)
		} else {
			t := trimmed[h.run]
			if t == nil {
				t = &trim{}
				trimmed[h.run] = t
			}
			err = s.trim(h, used-room, t)
		}
		if err != nil {
			return removed, err
		}
	}
	return removed, ctx.Err()
}

func (s *Store) removeForSize(ctx context.Context, h holder) error {
	unsent, err := s.unsent(h.run, 1<<62)
	if err == nil {
		err = s.removeRun(ctx, h.run)
	}
	if err == nil {
		what := "run " + h.run
		if h.row != nil {
			what += fmt.Sprintf(" (%s, %s)", h.row.Name, h.row.Start.Format(time.DateTime))
		}
		s.notify(s.sizeMessage(what, unsent))
	}
	return err
}

// trim is what a run, or those without one, lost of its oldest requests.
type trim struct{ requests, unsent int64 }

func (t *trim) String(run string) string {
	if run == "" {
		return fmt.Sprintf("the oldest requests without a run, %d of them", t.requests)
	}
	return fmt.Sprintf("the oldest requests of run %s, %d of them", run, t.requests)
}

// trimRows is how many requests of a run go at once at most.
const trimRows = 256

// trim removes the oldest requests of a run that make up about excess bytes.
func (s *Store) trim(h holder, excess int64, t *trim) error {
	last := h.oldest
	err := s.read(func(c *conn) error {
		const query = "SELECT id, length(body) FROM request WHERE run = ? AND id < ? ORDER BY id LIMIT ?"
		return c.query(query, func(columns []driver.Value) error {
			last, _ = columns[0].(int64)
			size, _ := columns[1].(int64)
			if excess -= size; excess <= 0 {
				return errStop
			}
			return nil
		}, h.run, h.newest, int64(trimRows))
	})
	if err != nil {
		return err
	}
	unsent, err := s.unsent(h.run, last)
	if err != nil {
		return err
	}
	return s.change(func(c *conn) error {
		n, _, err := c.exec("DELETE FROM request WHERE run = ? AND id <= ?", h.run, last)
		t.requests += n
		t.unsent += unsent
		return err
	})
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

func unsentNote(requests int64) string {
	if requests == 0 {
		return ""
	}
	return fmt.Sprintf("; %d of the requests had not been forwarded yet", requests)
}

func (s *Store) sizeMessage(what string, unsent int64) string {
	return fmt.Sprintf("removed %s: the database holds more than %d MiB%s", what, s.opts.MaxBytes>>20, unsentNote(unsent))
}

func days(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
	return d.String()
}

// Size returns the bytes that the store takes on disk, its journal included; in memory none.
func (s *Store) Size() (bytes int64) {
	for _, suffix := range [...]string{"", "-wal", "-shm"} {
		if info, err := os.Stat(s.path + suffix); err == nil && s.path != Memory {
			bytes += info.Size()
		}
	}
	return bytes
}
