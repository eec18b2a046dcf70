package store

import (
	"os"

	"golang.org/x/sys/windows"
)

// tryLock locks f, or changes its lock, without waiting. The locked byte lies far behind the content, which a mandatory lock
// would hide from others.
func tryLock(f *os.File, exclusive bool) error {
	const far = 1 << 30
	at := &windows.Overlapped{Offset: far}
	h := windows.Handle(f.Fd())
	_ = windows.UnlockFileEx(h, 0, 1, 0, at)
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if exclusive {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	return windows.LockFileEx(h, flags, 0, 1, 0, at)
}
