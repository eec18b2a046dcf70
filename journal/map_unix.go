//go:build linux || darwin

package journal

import (
	"os"

	"golang.org/x/sys/unix"
)

// mapFile maps the first size bytes of f.
func mapFile(f *os.File, size int) ([]byte, error) {
	return unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// mapReadOnly maps the first size bytes of f to look at what others write there.
func mapReadOnly(f *os.File, size int) ([]byte, error) {
	return unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
}

func unmapFile(mem []byte) error { return unix.Munmap(mem) }

// touch writes to each page of mem, which is all zero.
func touch(mem []byte) error {
	return guarded(func() {
		for i := 0; i < len(mem); i += os.Getpagesize() {
			mem[i] = 0
		}
	})
}
