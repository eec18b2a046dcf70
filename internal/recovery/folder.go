package recovery

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/journal"
)

// The names of folders for journals: with the beginning of the run's id, and a random number.
const (
	folderPrefix  = "forkspan-"
	folderPattern = folderPrefix + "[0-9A-Z][0-9A-Z][0-9A-Z][0-9A-Z]-[0-9]*"
)

// FolderName is how the folder for a run's journals is called, for [os.MkdirTemp].
func FolderName(runID string) string { return folderPrefix + runID[:min(4, len(runID))] + "-" }

// Parents are the folders where the folder for journals may be, the best first: those in memory with so much room, in
// bytes, and the temporary one.
func Parents(env func(string) string, least int64) []string {
	var parents []string
	for _, dir := range []string{"/dev/shm", env("XDG_RUNTIME_DIR")} {
		if filepath.IsAbs(dir) && roomInMemory(dir) >= least {
			parents = append(parents, dir)
		}
	}
	return append(parents, os.TempDir())
}

// Discard removes what processes of a run that was cut off may still write: the next forkspan would find it, and bring
// the run back.
func Discard(run store.Run) error {
	if run.Journal == "" {
		return nil
	}
	switch info, err := os.Lstat(run.Journal); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir() || !isOurs(info):
		return nil // somebody else has taken the name
	}
	_, err := journal.DiscardFolder(run.Journal)
	return err
}
