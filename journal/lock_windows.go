package journal

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// tryLock locks f exclusively, without waiting. The lock goes when f is closed and when the process dies. The locked byte lies
// far behind the content, which a mandatory lock would hide from readers.
func tryLock(f *os.File) error {
	const far = 1 << 30
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_FAIL_IMMEDIATELY|windows.LOCKFILE_EXCLUSIVE_LOCK,
		0, 1, 0, &windows.Overlapped{OffsetHigh: 0, Offset: far})
}

// isHeld tells of an error of tryLock whether somebody else holds the lock.
func isHeld(err error) bool { return errors.Is(err, windows.ERROR_LOCK_VIOLATION) }
