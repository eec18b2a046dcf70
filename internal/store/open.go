package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Defaults of Options.
const (
	defaultMaxBytes = 2 << 30
	defaultMaxAge   = 30 * 24 * time.Hour
)

// Open opens the store at path and creates it, with its folder, when it is not there. A damaged file is set aside with its
// journal and a new one begun; a file on a network file system, where SQLite's locks cannot be trusted, is left alone and one
// in a local folder used: opts.Notify is told. A file that a newer forkspan has written is ErrNewer. In every case of an error
// what was there is left as it was.
func Open(ctx context.Context, path string, opts Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = defaultMaxBytes
	}
	if opts.MaxAge <= 0 {
		opts.MaxAge = defaultMaxAge
	}
	s := &Store{path: path, opts: opts}
	s.behindCtx, s.stopBehind = context.WithCancel(context.Background())
	if err := s.open(); err != nil {
		s.stopBehind()
		return nil, err
	}
	return s, nil
}

func (s *Store) open() (err error) {
	if s.path == Memory {
		if s.write, err = openConn(Memory); err == nil {
			err = migrate(s.write)
		}
		if err != nil {
			return fmt.Errorf("open store in memory: %w", err)
		}
		return nil
	}
	if s.path, err = filepath.Abs(s.path); err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	if err := makeFolder(filepath.Dir(s.path)); err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	if err := s.avoidNetwork(onNetwork); err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	if info, err := os.Stat(s.path); err == nil && info.IsDir() {
		return fmt.Errorf("open store %s: it is a folder", s.path)
	}
	if s.lock, err = openLock(s.path + ".lock"); err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	doing := "open store " + s.path
	if s.write, err = s.openFile(); err != nil {
		return errors.Join(explain(doing, err), s.lock.close())
	}
	if share := journalShare(s.opts.MaxBytes); share < journalLimit {
		// The journal of a small store is small.
		err = s.write.script(fmt.Sprintf("PRAGMA journal_size_limit=%d; PRAGMA wal_autocheckpoint=%d", share, share/journalPage))
	}
	return err
}

// avoidNetwork moves the store to a local folder when its own lies on a network file system.
func (s *Store) avoidNetwork(onNetwork func(folder string) bool) error {
	if !onNetwork(filepath.Dir(s.path)) {
		return nil
	}
	local := filepath.Join(temporaryFolder(), filepath.Base(s.path))
	s.notify(fmt.Sprintf("%s is on a network file system; the traces go to %s", s.path, local))
	s.path = local
	return makeFolder(filepath.Dir(local))
}

// openFile opens the database, after it has been brought to the present schema or set aside where need be.
func (s *Store) openFile() (*conn, error) {
	for patience := 3; ; patience-- {
		suspected := s.lock.suspected()
		c, old, err := s.tryOpen()
		switch {
		case err == nil && !old && !suspected:
			return c, nil
		case err != nil && !damaged(err):
			return nil, err
		}
		// To migrate the file or set it aside we must be alone with it. When others have it open they may just have done it.
		if busy := s.lock.exclude(); busy == nil {
			c, err = s.repair(c, err, suspected)
			return c, errors.Join(err, s.lock.share())
		}
		shared := s.lock.share()
		if err == nil && !old && shared == nil {
			return c, nil // suspected, but it opens: the look at the whole must wait
		}
		if c != nil {
			err = errors.Join(err, c.close())
		}
		if shared != nil {
			return nil, errors.Join(err, shared)
		}
		if patience > 0 {
			continue
		}
		if err == nil {
			err = errors.New("it is of an older schema, and other forkspan processes have it open")
		}
		return nil, err
	}
}

// repair migrates the open database c, or sets the one that failed to open with err aside and begins a new one. With check the
// whole file is read through before. The caller holds the lock file exclusively.
func (s *Store) repair(c *conn, err error, check bool) (*conn, error) {
	if err == nil && check {
		err = checkFile(c)
	}
	if err != nil {
		if c != nil {
			_ = c.close() // nothing can be said about a damaged file's journal that err does not say
		}
		if !damaged(err) {
			return nil, err
		}
		// Another process may have set it aside before we were alone.
		again, _, err := s.tryOpen()
		if err != nil || check {
			if again != nil {
				_ = again.close()
			}
			if err := s.setAside(err); err != nil {
				return nil, err
			}
			if again, _, err = s.tryOpen(); err != nil {
				return nil, err
			}
		}
		c = again
	}
	if err := migrate(c); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, s.lock.trust()
}

// tryOpen opens the file as it is, creating an empty one; old says that its schema is older than ours.
func (s *Store) tryOpen() (c *conn, old bool, err error) {
	if err := createFile(s.path); err != nil {
		return nil, false, err
	}
	if c, err = openConn(s.path); err != nil {
		return nil, false, err
	}
	v, err := version(c)
	if err != nil {
		return nil, false, errors.Join(err, c.close())
	}
	return c, v < len(migrations), nil
}

// errDamaged is the verdict of checkFile.
var errDamaged = errors.New("the database is damaged")

func checkFile(c *conn) error {
	return c.query("PRAGMA quick_check(1)", func(columns []driver.Value) error {
		if columns[0] != "ok" {
			return fmt.Errorf("%w: %v", errDamaged, columns[0])
		}
		return nil
	})
}

// setAside renames the damaged database and its journal. The caller holds the lock file exclusively.
func (s *Store) setAside(why error) error {
	aside := s.path + time.Now().UTC().Format(".damaged-20060102-150405.000000000")
	for _, suffix := range [...]string{"", "-wal", "-shm"} {
		if err := os.Rename(s.path+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("set the damaged database aside: %w", err)
		}
	}
	s.notify(fmt.Sprintf("the database %s is damaged (%v); it was moved to %s and a new one begun", s.path, why, aside))
	return nil
}

// makeFolder makes the folder and those above it, for the user only.
func makeFolder(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if folder == temporaryFolder() {
		return checkPrivate(folder)
	}
	return nil
}

// createFile makes the database's file, which SQLite would make readable for all. An existing one is not even opened: closing
// it again would drop the locks that SQLite has on it in this process.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}
