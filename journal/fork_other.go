//go:build !linux

package journal

import "os"

// forkMark notices that the process has been forked since it was made.
type forkMark struct{ pid int }

func newForkMark() *forkMark { return &forkMark{pid: os.Getpid()} }

// forked tells whether this is a child of the process that made m.
func (m *forkMark) forked() bool { return os.Getpid() != m.pid }
