package forkspan_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackageComments wants exactly one package comment in each package: one that is nowhere, or that grew in two files,
// is not one that anybody keeps up to date.
func TestPackageComments(t *testing.T) {
	comments := map[string][]string{} // by folder: the files with a package comment
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); path != "." && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") ||
				name == "testdata" || name == "node_modules") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); path != "." && err == nil {
				return filepath.SkipDir // a module of its own
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.Dir(path)
		files := comments[dir]
		if file.Doc != nil && strings.TrimSpace(file.Doc.Text()) != "" {
			files = append(files, path)
		}
		comments[dir] = files
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, files := range comments {
		if len(files) != 1 {
			t.Errorf("package in %s has %d package comments, want one, in doc.go: %v", dir, len(files), files)
		}
	}
}
