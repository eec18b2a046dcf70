package store

import (
	"fmt"
	"os"
	"time"
)

// lockFile is the file beside the database that tells processes of each other: locked shared while the database is open,
// exclusively to migrate it or set it aside. The database itself cannot serve, since closing any second descriptor of it would
// drop SQLite's locks. A lock file with content means that somebody found the database damaged.
type lockFile struct{ f *os.File }

// openLock opens the lock file at path and locks it shared.
func openLock(path string) (*lockFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	l := &lockFile{f: f}
	if err := l.share(); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return l, nil
}

// lockPatience is how long another process may migrate or set aside.
const lockPatience = 10 * time.Second

// share takes the lock with others.
func (l *lockFile) share() error { return l.wait(false, lockPatience) }

// exclude takes the lock alone, giving up the shared one. It fails when others keep the database open.
func (l *lockFile) exclude() error { return l.wait(true, 300*time.Millisecond) }

func (l *lockFile) wait(exclusive bool, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	for {
		err := tryLock(l.f, exclusive)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// suspect notes that the database is damaged; trust takes the note back.
func (l *lockFile) suspect() { _, _ = l.f.WriteAt([]byte("damaged\n"), 0) }

func (l *lockFile) trust() error { return l.f.Truncate(0) }

func (l *lockFile) suspected() bool {
	info, err := l.f.Stat()
	return err == nil && info.Size() > 0
}

// close gives the lock up.
func (l *lockFile) close() error { return l.f.Close() }
