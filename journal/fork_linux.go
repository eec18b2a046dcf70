package journal

import (
	"os"

	"golang.org/x/sys/unix"
)

// forkMark notices that the process has been forked since it was made.
type forkMark struct {
	page []byte // zeroed by the kernel in a forked child; nil where it cannot do that
	pid  int
}

func newForkMark() *forkMark {
	m := &forkMark{pid: os.Getpid()}
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return m
	}
	if err := unix.Madvise(page, unix.MADV_WIPEONFORK); err != nil { // Linux 4.14
		_ = unix.Munmap(page)
		return m
	}
	page[0] = 1
	m.page = page // never unmapped: a page for each Writer
	return m
}

// forked tells whether this is a child of the process that made m. Asking for the pid costs a system call each time.
func (m *forkMark) forked() bool {
	if m.page != nil {
		return m.page[0] == 0
	}
	return os.Getpid() != m.pid
}
