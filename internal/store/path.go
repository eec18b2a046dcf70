package store

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const fileName = "forkspan.db"

// DefaultPath is where the store lives when nobody says otherwise: $XDG_STATE_HOME/forkspan/forkspan.db, else below HOME (on
// Windows below LOCALAPPDATA), else below the temporary folder (a note then says so).
func DefaultPath(env func(string) string) (path, note string) {
	if dir := env("XDG_STATE_HOME"); filepath.IsAbs(dir) { // the XDG specification ignores relative paths
		return filepath.Join(dir, "forkspan", fileName), ""
	}
	if home := env("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "forkspan", fileName), ""
	}
	if dir := env("LOCALAPPDATA"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "forkspan", fileName), ""
	}
	path = SparePath()
	return path, "neither XDG_STATE_HOME nor HOME names a folder; the traces go to " + path
}

// SparePath is where the store lives when there is no other place for it.
func SparePath() string { return filepath.Join(temporaryFolder(), fileName) }

// temporaryFolder is a folder of the user's own below the temporary one.
func temporaryFolder() string {
	name := "forkspan"
	if uid := os.Getuid(); uid >= 0 {
		name += "-" + strconv.Itoa(uid)
	}
	return filepath.Join(os.TempDir(), name)
}

// uriPath is a path as SQLite wants it in a file: URI, with slashes and a slash before a drive letter.
func uriPath(path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return path
}
