package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"forkspan.dev/forkspan/internal/store"
)

// writeFile writes the run to path, in the format and with the compression that its name asks for.
func (r *localRun) writeFile(path string) error {
	return placeFile(path, func(w io.Writer) error {
		f, err := newSpanFile(w, path, formatByName(path))
		if err != nil {
			return err
		}
		f.processes = r.flags.outputProcesses
		f.redact = r.storing.redact // as the store has it, for what fell back to none
		var processes []store.Process
		if st := r.writable(); st != nil {
			if processes, err = st.Tree(context.Background(), r.runID); err != nil {
				return err
			}
		}
		return errors.Join(f.addRun(r.record, processes, r.requests), f.finish())
	})
}

// checkOutput tells before the command is started whether writeFile will find a place for the file; "" is no file. After an
// hour it would be too late. A pipe is not opened: that could wait for its reader.
func checkOutput(path string) error {
	if path == "" {
		return nil
	}
	special, err := isSpecial(path)
	if err == nil && !special {
		err = bare(tryFolder(filepath.Dir(path)))
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
