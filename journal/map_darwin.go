package journal

import (
	"os"

	"golang.org/x/sys/unix"
)

// mappingLocks tells that a file which was locked stays so while it is mapped, though it is closed: here the lock goes with the
// last descriptor.
const mappingLocks = false

// allocate gives f size bytes of room, and tells whether it may be mapped.
func allocate(f *os.File, size int64) (mappable bool, err error) {
	store := unix.Fstore_t{Flags: unix.F_ALLOCATEALL, Posmode: unix.F_PEOFPOSMODE, Length: size}
	if err := unix.FcntlFstore(f.Fd(), unix.F_PREALLOCATE, &store); err == unix.ENOSPC {
		return false, err
	} else if err != nil {
		return false, nil
	}
	if !mayMap(f) {
		return false, nil
	}
	return true, f.Truncate(size)
}

// mayMap tells whether f is where mapped memory does not fail.
func mayMap(f *os.File) bool {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return false
	}
	switch unix.ByteSliceToString(fs.Fstypename[:]) {
	case "apfs", "hfs":
		return true
	}
	return false
}

// faultIn makes the pages of mem writable without a fault later. An error means that they are not to be used.
func faultIn(mem []byte) error { return touch(mem) }
