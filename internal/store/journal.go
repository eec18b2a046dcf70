package store

import (
	"context"
	"fmt"
)

// JournalRuns returns the runs in whose folders there may be journals, oldest first.
func (s *Store) JournalRuns(ctx context.Context) ([]Run, error) {
	return s.runs(ctx, "WHERE journal != '' ORDER BY start, rowid")
}

// SetJournal changes the folder of a run's journals, and nothing else of it; empty for none.
func (s *Store) SetJournal(ctx context.Context, run, dir string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store run: %w", err)
	}
	err := s.change(func(c *conn) error {
		_, _, err := c.exec("UPDATE run SET journal = ? WHERE id = ?", dir, run)
		return err
	})
	if err != nil {
		return explain("store run", err)
	}
	return nil
}
