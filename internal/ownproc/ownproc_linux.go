package ownproc

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// Mounted tells whether the proc file system at root has our processes under the pids by which we know them. In a pid namespace
// that was not given a proc of its own those there are other processes.
func Mounted(root string) bool {
	self, err := os.Readlink(filepath.Join(root, "self"))
	return err == nil && self == strconv.Itoa(os.Getpid())
}

// Usual is [Mounted] for /proc, asked once.
var Usual = sync.OnceValue(func() bool { return Mounted("/proc") })
