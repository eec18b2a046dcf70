package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"forkspan.dev/forkspan/internal/spanfile"
)

// noPlace tells whether err says that a file cannot be where it was to be, by the way there or by the rights to it: another
// place would do.
func noPlace(err error) bool {
	return slices.ContainsFunc([]error{
		fs.ErrPermission, fs.ErrNotExist, syscall.ENOTDIR, syscall.EROFS, syscall.ENAMETOOLONG, syscall.ELOOP, syscall.ENOTSUP,
	}, func(target error) bool { return errors.Is(err, target) })
}

// canBeMade tells whether we may make a file at path, and the folders to it.
func canBeMade(path string) bool {
	folder := filepath.Dir(path)
	for folder != filepath.Dir(folder) && isMissing(folder) {
		folder = filepath.Dir(folder)
	}
	return spanfile.TryFolder(folder) == nil
}

// isMissing tells whether there is nothing at path.
func isMissing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
