// Package pyinstrument holds the Python module behind `forkspan run --instrument=python`: it records the start of Python
// processes, slow imports and the spans of opentelemetry-python in a journal. docs/python.md says what it does.
package pyinstrument

import (
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

//go:embed python/*.py
var files embed.FS

const folder = "python" // of files

// Variable is the environment variable by which Python finds the module.
const Variable = "PYTHONPATH"

// errPath is the error of a folder that cannot be in a list of folders.
var errPath = errors.New("the path of the folder has a list separator in it")

// Install sees to it that the module is in a folder below parent, which is made with mode 0700 if need be, and returns that
// folder. It is named after what is in it, so that later runs, and Python's own compiled files, find it again. Only this user
// can have written there.
func Install(parent string) (dir string, err error) {
	content, err := read()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(parent, "python-"+content.sum)
	if !filepath.IsAbs(dir) || strings.ContainsRune(dir, os.PathListSeparator) {
		return "", fmt.Errorf("install Python module in %s: %w", dir, errPath)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("install Python module: %w", err)
	}
	for _, d := range []string{parent, dir} {
		if err := private(d); err != nil {
			return "", fmt.Errorf("install Python module: %w", err)
		}
	}
	for name, text := range content.files {
		if err := install(filepath.Join(dir, name), text); err != nil {
			return "", fmt.Errorf("install Python module: %w", err)
		}
	}
	return dir, nil
}

// module is what the embedded files hold.
type module struct {
	files map[string][]byte // by name
	sum   string            // of all, in hexadecimal digits
}

func read() (module, error) {
	m := module{files: map[string][]byte{}}
	entries, err := fs.ReadDir(files, folder) // in order
	if err != nil {
		return m, fmt.Errorf("read Python module: %w", err)
	}
	hash := sha256.New()
	for _, e := range entries {
		text, err := fs.ReadFile(files, folder+"/"+e.Name())
		if err != nil {
			return m, fmt.Errorf("read Python module: %w", err)
		}
		m.files[e.Name()] = text
		fmt.Fprintf(hash, "%s %d\n%s", e.Name(), len(text), text)
	}
	m.sum = fmt.Sprintf("%x", hash.Sum(nil))[:16]
	return m, nil
}

// install writes a file with mode 0600, unless it is there already.
func install(path string, text []byte) error {
	if have, err := os.ReadFile(path); err == nil && string(have) == string(text) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path) // at once: another run may be reading it
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// Path is PYTHONPATH with dir first, given what it was. Python takes an empty part for the current folder, so that there must
// be none that was not there before.
func Path(dir, before string) string {
	if before == "" {
		return dir
	}
	return dir + string(os.PathListSeparator) + before
}
