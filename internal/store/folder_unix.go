//go:build unix

package store

import (
	"fmt"
	"os"
	"syscall"
)

// checkPrivate refuses a folder in a shared place that another user has made or can write to.
func checkPrivate(folder string) error {
	info, err := os.Lstat(folder)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != os.Getuid() || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s is not a folder of this user alone", folder)
	}
	return nil
}
