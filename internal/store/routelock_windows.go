package store

import "os"

// unlockRoute removes the lock file once it is closed, which fails when another has opened it meanwhile.
func unlockRoute(f *os.File, path string) {
	_ = f.Close()
	_ = os.Remove(path)
}
