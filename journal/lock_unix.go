//go:build unix

package journal

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// tryLock locks f exclusively, without waiting. The lock goes when f is closed and when the process dies.
func tryLock(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// isHeld tells of an error of tryLock whether somebody else holds the lock.
func isHeld(err error) bool { return errors.Is(err, unix.EWOULDBLOCK) }
