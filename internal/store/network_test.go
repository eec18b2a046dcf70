package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAvoidNetwork(t *testing.T) {
	shared, local := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", local) // where os.TempDir looks on Unix,
	t.Setenv("TMP", local)    // and on Windows
	var told []string
	s := &Store{path: filepath.Join(shared, "forkspan.db"), opts: Options{Notify: func(msg string) { told = append(told, msg) }}}
	onShared := func(folder string) bool { return folder == shared }
	if err := s.avoidNetwork(onShared); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(s.path, local) || len(told) != 1 || !strings.Contains(told[0], s.path) {
		t.Errorf("path %s, told %q", s.path, told)
	}
	before := s.path
	if err := s.avoidNetwork(onShared); err != nil || s.path != before {
		t.Errorf("path %s, %v", s.path, err)
	}
	if info, err := os.Stat(filepath.Dir(before)); err != nil || os.PathSeparator == '/' && info.Mode().Perm() != 0o700 {
		t.Errorf("folder %v, %v", info, err)
	}
	if onNetwork(local) {
		t.Errorf("the temporary folder %s counts as a network file system", local)
	}
}

// A folder in a shared place that others can write to is refused: what lies there may be anybody's.
func TestPrivateFolder(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("TMP", os.Getenv("TMPDIR"))
	if err := os.Mkdir(temporaryFolder(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(temporaryFolder(), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := makeFolder(temporaryFolder()); err == nil && os.PathSeparator == '/' {
		t.Error("a folder of all was taken")
	}
}
