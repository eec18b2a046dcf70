package recovery

import "golang.org/x/sys/unix"

// roomInMemory is how many bytes may still be written below dir; 0 when that is not in memory.
func roomInMemory(dir string) int64 {
	const tmpfs = 0x01021994 // statfs(2)
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil || uint32(fs.Type) != tmpfs {
		return 0
	}
	return int64(fs.Bavail) * int64(fs.Bsize)
}
