//go:build unix

package pyinstrument

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Nobody else can read or write the module.
func TestInstallIsPrivate(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "state")
	dir := installed(t, parent)
	for _, root := range []string{parent, dir} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err == nil && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// A module that others may have changed is not used.
func TestInstallRefuses(t *testing.T) {
	for _, mode := range []os.FileMode{0o770, 0o707, 0o777 | os.ModeSticky} {
		for _, inner := range []bool{false, true} {
			parent := filepath.Join(t.TempDir(), "state")
			open := parent
			if dir := installed(t, parent); inner {
				open = dir
			}
			if err := os.Chmod(open, mode); err != nil {
				t.Fatal(err)
			}
			if got, err := Install(parent); err == nil || !strings.Contains(err.Error(), "others can write") {
				t.Errorf("with mode %v of %s: %q, %v", mode, open, got, err)
			}
		}
	}
}
