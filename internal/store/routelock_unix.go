//go:build unix

package store

import "os"

// unlockRoute removes the lock file while it is still locked.
func unlockRoute(f *os.File, path string) {
	_ = os.Remove(path)
	_ = f.Close()
}
