package store

import "os"

// leftJournal is the size up to which Leave leaves the journal to the next process, in bytes. Reading it back takes about a
// millisecond.
const leftJournal = 1 << 20

// Leave is Close for a process that ends right afterwards: with everything committed, SQLite's locks go with the process.
// Closing the last connection folds the journal into the database, with two syncs to disk; a short journal is left for the
// next process to do that with.
func (s *Store) Leave() error {
	if s.path == Memory {
		return nil
	}
	if info, err := os.Stat(s.path + "-wal"); err == nil && info.Size() <= leftJournal {
		return nil
	}
	return s.Close()
}
