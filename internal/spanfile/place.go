package spanfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Place makes the file at path with what fill writes. It appears whole or not at all; what is no regular file (a pipe,
// /dev/stderr) is written to directly.
func Place(path string, fill func(w io.Writer) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	special, err := isSpecial(path)
	if err != nil {
		return err
	}
	if special {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return bare(err)
		}
		return errors.Join(fill(f), f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return bare(err)
	}
	err = errors.Join(fill(f), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(bare(err), os.Remove(f.Name()))
	}
	return nil
}

// CheckPlace tells before the command is started whether Place will find one for a file at path; "" is no file. After an
// hour it would be too late. A pipe is not opened: that could wait for its reader.
func CheckPlace(path string) error {
	if path == "" {
		return nil
	}
	special, err := isSpecial(path)
	if err == nil && !special {
		err = bare(TryFolder(filepath.Dir(path)))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// isSpecial tells whether there is something at path that is no regular file. A folder is an error.
func isSpecial(path string) (bool, error) {
	info, err := os.Stat(path)
	if err != nil || info.Mode().IsRegular() {
		return false, nil
	}
	if info.IsDir() {
		return false, errors.New("it is a folder")
	}
	return true, nil
}

// bare is the cause of an error about a file that its reader knows by another name.
func bare(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}

// TryFolder makes a folder in the one at path and removes it again: only that tells what may be made there, on file systems
// like /proc not even the rights do.
func TryFolder(path string) error {
	made, err := os.MkdirTemp(path, ".forkspan-")
	if err != nil {
		return err
	}
	return os.Remove(made)
}
