package store

import (
	"fmt"
	"os"
	"strconv"
)

// LockRoute takes the lock of a route, which one process has at a time; it goes with its process however that ends. It does not
// wait: ok is false when another has it. unlock is called once.
func (s *Store) LockRoute(id int64) (unlock func(), ok bool, err error) {
	if s.path == Memory {
		return func() {}, true, nil
	}
	path := s.path + ".forward-" + strconv.FormatInt(id, 10)
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, false, fmt.Errorf("lock route: %w", err)
		}
		if tryLock(f, true) != nil {
			return nil, false, f.Close()
		}
		// Who gives the lock up removes the file: it must still be the one that others will find.
		ours, err1 := f.Stat()
		there, err2 := os.Stat(path)
		if err1 == nil && err2 == nil && os.SameFile(ours, there) {
			return func() { unlockRoute(f, path) }, true, nil
		}
		f.Close()
	}
}
