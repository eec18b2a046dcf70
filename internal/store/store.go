package store

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Sentinels that callers branch on.
var (
	ErrNotFound = errors.New("not found")                                    // no run or trace of that name
	ErrNewer    = errors.New("the database was written by a newer forkspan") // nothing was changed
)

// Memory is the path of a store that lives in memory only.
const Memory = ":memory:"

// Options of Open. The zero value is for use by the commands.
type Options struct {
	MaxBytes int64            // size cap; 0 means 2 GiB
	MaxAge   time.Duration    // age cap; 0 means 30 days
	Redact   bool             // hide secrets in requests before they are stored, and so before they are forwarded
	Alive    func(Run) bool   // whether somebody still writes to a run that has not ended; nil for no
	Notify   func(msg string) // told what the user should know (a damaged file set aside, runs removed by a cap); may be nil
}

// Store is an open trace store. It is safe for concurrent use, also by several processes on one file.
type Store struct {
	path string
	opts Options
	lock *lockFile // nil in memory

	queueMu sync.Mutex
	queue   []*job // requests that wait for the next transaction

	writeMu sync.Mutex // guards write and what follows
	write   *conn
	commits int64 // transactions of requests

	looked   time.Time // at the caps, last
	lookedAt int64     // commits then
	unlooked int64     // bytes stored since

	idleMu sync.Mutex // guards idle and shut
	idle   []*conn    // reading connections that nobody uses
	shut   bool       // no more reading

	behind     sync.WaitGroup     // the job that indexes and prunes, at most one at a time
	behindMu   sync.Mutex         // guards working and closed
	working    bool               // the job runs
	closed     bool               // no more jobs
	indexed    int64              // newest request that is in the index, as far as known; guarded by behindMu
	stopBehind context.CancelFunc // ends the job early
	behindCtx  context.Context
}

// notify passes a message on to the user.
func (s *Store) notify(msg string) {
	if s.opts.Notify != nil {
		s.opts.Notify(msg)
	}
}

// Path is the file's path, or Memory. It differs from the one given to Open when that lay on a network file system.
func (s *Store) Path() string { return s.path }

// Close waits for requests that are being stored and closes the file.
func (s *Store) Close() error {
	s.behindMu.Lock()
	s.closed = true
	s.behindMu.Unlock()
	s.stopBehind()
	s.behind.Wait()
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	s.idleMu.Lock()
	defer s.idleMu.Unlock()
	var errs []error
	for _, c := range s.idle {
		errs = append(errs, c.close())
	}
	s.idle, s.shut = nil, true
	if s.write != nil {
		errs = append(errs, s.write.close())
		s.write = nil
	}
	if s.lock != nil {
		errs = append(errs, s.lock.close())
		s.lock = nil
	}
	if err := errors.Join(errs...); err != nil {
		return explain("close store", err)
	}
	return nil
}

// errClosed is what calls get after Close.
var errClosed = errors.New("the store is closed")

// change runs fn with the writing connection.
func (s *Store) change(fn func(c *conn) error) error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if s.write == nil {
		return errClosed
	}
	return s.seen(fn(s.write))
}

// maxIdle bounds the reading connections that are kept; each has a page cache of up to 2 MiB.
const maxIdle = 4

// read runs fn with a connection to read with. In memory there is only the writing one.
func (s *Store) read(fn func(c *conn) error) error {
	if s.path == Memory {
		return s.change(fn)
	}
	c, err := s.reader()
	if err != nil {
		return err
	}
	err = s.seen(fn(c))
	s.idleMu.Lock()
	if len(s.idle) < maxIdle && !s.shut {
		s.idle = append(s.idle, c)
		c = nil
	}
	s.idleMu.Unlock()
	if c != nil {
		err = errors.Join(err, c.close())
	}
	return err
}

func (s *Store) reader() (*conn, error) {
	s.idleMu.Lock()
	defer s.idleMu.Unlock()
	if s.shut {
		return nil, errClosed
	}
	if n := len(s.idle); n > 0 {
		c := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return c, nil
	}
	return openConn(s.path)
}

// seen leaves word in the lock file when err says that the database is damaged, so that the next Open looks at it closely.
func (s *Store) seen(err error) error {
	if err != nil && damaged(err) && s.lock != nil {
		s.lock.suspect()
	}
	return err
}
