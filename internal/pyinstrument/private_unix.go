//go:build unix

package pyinstrument

import (
	"fmt"
	"os"
	"syscall"
)

// private returns an error unless dir is a folder in which nobody but this user can write.
func private(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(stat.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("others can write in %s", dir)
	}
	return nil
}
