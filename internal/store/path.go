package store

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// DefaultPath is where the store lives when nobody says otherwise: $XDG_STATE_HOME/forkspan/forkspan.db, else below HOME (on
// Windows below LOCALAPPDATA), else below the temporary folder (a note then says so).
func DefaultPath(env func(string) string) (path, note string) {
	const file = "forkspan.db"
	if dir := env("XDG_STATE_HOME"); filepath.IsAbs(dir) { // the XDG specification ignores relative paths
		return filepath.Join(dir, "forkspan", file), ""
	}
	if home := env("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "forkspan", file), ""
	}
	if dir := env("LOCALAPPDATA"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "forkspan", file), ""
	}
	path = filepath.Join(temporaryFolder(), file)
	return path, "neither XDG_STATE_HOME nor HOME is set; the traces go to " + path
}

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
