package pyinstrument

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// entry is what Python itself looks for.
const entry = "sitecustomize.py"

// loads are the places where one file loads another.
var loads = regexp.MustCompile(`(?:load|SourceFileLoader)\("(\w+)"`)

// What the module's files load is there, and no file is there that none loads.
func TestFilesAreComplete(t *testing.T) {
	content, err := read()
	if err != nil {
		t.Fatal(err)
	}
	loaded := map[string]bool{entry: true}
	for name, text := range content.files {
		for _, match := range loads.FindAllSubmatch(text, -1) {
			file := string(match[1]) + ".py"
			loaded[file] = true
			if content.files[file] == nil {
				t.Errorf("%s loads %s, which is not there", name, file)
			}
		}
	}
	for name := range content.files {
		if !loaded[name] {
			t.Errorf("nobody loads %s", name)
		}
	}
}

// installed installs the module below parent and checks what is there.
func installed(t *testing.T, parent string) (dir string) {
	t.Helper()
	dir, err := Install(parent)
	if err != nil {
		t.Error(err)
		return ""
	}
	content, err := read()
	if err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(content.files) {
		t.Errorf("%d files in %s, want %d: %v", len(entries), dir, len(content.files), err)
	}
	for name, want := range content.files {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != string(want) {
			t.Errorf("%s has %d bytes, want %d: %v", name, len(got), len(want), err)
		}
	}
	return dir
}

// The folder has the whole module, however often it is installed and whatever has become of its files meanwhile.
func TestInstall(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "a", "b")
	dir := installed(t, parent)
	if filepath.Dir(dir) != parent {
		t.Errorf("%s is not in %s", dir, parent)
	}
	whole := filepath.Join(dir, entry)
	before, err := os.Stat(whole)
	if err != nil {
		t.Fatal(err)
	}
	if installed(t, parent) != dir {
		t.Error("the second time the folder is another")
	}
	if after, err := os.Stat(whole); err != nil || !os.SameFile(before, after) {
		t.Errorf("a file that was there was written anew: %v", err)
	}
	if err := os.WriteFile(whole, []byte("import os"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "forkspan_otlp.py")); err != nil {
		t.Fatal(err)
	}
	installed(t, parent)
}

// Runs that begin at the same time install it together, and none sees less than all of it.
func TestInstallConcurrently(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "state")
	content, err := read()
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			dir, err := Install(parent)
			if err != nil {
				t.Error(err)
				return
			}
			for name, want := range content.files {
				if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != string(want) {
					t.Errorf("%s has %d bytes, want %d: %v", name, len(got), len(want), err)
				}
			}
		})
	}
	all.Wait()
	installed(t, parent)
}

// Where the module cannot be, an error says so.
func TestInstallFails(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for parent, want := range map[string]string{
		filepath.Join(file, "state"):                             "install Python module: ",
		filepath.Join(dir, "a"+string(os.PathListSeparator)+"b"): "list separator",
		"relative": "list separator",
	} {
		if got, err := Install(parent); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("in %s: %q, %v", parent, got, err)
		}
	}
}

func TestPath(t *testing.T) {
	list := string(os.PathListSeparator)
	for before, want := range map[string]string{
		"": "/m", "/a": "/m" + list + "/a", list: "/m" + list + list, "/a" + list: "/m" + list + "/a" + list,
	} {
		if got := Path("/m", before); got != want {
			t.Errorf("Path of %q is %q, want %q", before, got, want)
		}
	}
}
