//go:build !windows

package doctor

import "golang.org/x/sys/unix"

// freeBytes is the room that a file system has left for us.
func freeBytes(folder string) (int64, bool) {
	var fs unix.Statfs_t
	if err := unix.Statfs(folder, &fs); err != nil {
		return 0, false
	}
	return int64(fs.Bavail) * int64(fs.Bsize), true
}
