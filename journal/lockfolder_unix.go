//go:build unix

package journal

import "os"

// lockFolder locks dir for one recovery at a time. It fails with [ErrBusy], and leaves nothing behind.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if isHeld(tryLock(f)) {
		_ = f.Close()
		return nil, ErrBusy
	}
	return func() { _ = f.Close() }, nil // without locks on this file system, spans may be taken twice
}
