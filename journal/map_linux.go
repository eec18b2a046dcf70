package journal

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Types of file systems, of statfs(2), on which memory that is mapped after fallocate has its room for sure. Others promise
// it and then kill the program (btrfs copies on write, network file systems lose their server).
const (
	typeExt4  = 0xef53
	typeXFS   = 0x58465342
	typeTmpfs = 0x01021994
)

// mappingLocks tells that a file which was locked stays so while it is mapped, though it is closed: the mapping holds what was
// opened, and with it the lock of flock(2).
const mappingLocks = true

// allocate gives f size bytes of room, and tells whether it may be mapped.
func allocate(f *os.File, size int64) (mappable bool, err error) {
	for {
		err = unix.Fallocate(int(f.Fd()), 0, 0, size)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return mayMap(f), nil
}

// mayMap tells whether f is where mapped memory does not fail.
func mayMap(f *os.File) bool {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return false
	}
	switch uint32(fs.Type) {
	case typeExt4, typeXFS, typeTmpfs:
		return true
	}
	return false
}

// faultIn makes the pages of mem writable without a fault later. An error means that they are not to be used.
func faultIn(mem []byte) error {
	err := unix.Madvise(mem, unix.MADV_POPULATE_WRITE)
	if errors.Is(err, unix.EINVAL) { // before Linux 5.14
		return touch(mem)
	}
	return err
}
