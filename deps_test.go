package forkspan_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// modulePath is ours; its packages may import each other.
const modulePath = "forkspan.dev/forkspan"

// libraries are the packages that users import, and whose dependencies become theirs.
var libraries = []string{".", "./genai", "./genai/genaihttp", "./journal", "./forkspantest"}

// allowed are the modules, or whole families of them, that libraries may import directly.
var allowed = []string{
	"go.opentelemetry.io/", "google.golang.org/grpc", "google.golang.org/protobuf", "golang.org/x/", modulePath,
}

// modulesFile lists the modules that libraries bring along, directly or not.
const modulesFile = "testdata/modules.txt"

// golist runs go list and returns its lines.
func golist(t *testing.T, args ...string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append([]string{"list"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v", strings.Join(args, " "), err)
	}
	return strings.Fields(string(out))
}

func existing(t *testing.T, dirs []string) []string {
	t.Helper()
	return slices.DeleteFunc(slices.Clone(dirs), func(dir string) bool {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		return err != nil || len(files) == 0
	})
}

func TestLibrariesImportOnlyWhatTheyMay(t *testing.T) {
	for _, pkg := range existing(t, libraries) {
		for _, path := range golist(t, "-f", `{{join .Imports "\n"}}`, pkg) {
			first, _, _ := strings.Cut(path, "/")
			isStandard := !strings.Contains(first, ".")
			if !isStandard && !slices.ContainsFunc(allowed, func(p string) bool { return strings.HasPrefix(path, p) }) {
				t.Errorf("%s imports %s: libraries import nothing outside the standard library, OpenTelemetry, gRPC, "+
					"protobuf and golang.org/x, since every user's program gets it too. "+
					"Write the few lines that are needed, or move the code to internal/ or cmd/.", pkg, path)
			}
		}
	}
}

func TestLibrariesBringKnownModules(t *testing.T) {
	raw, err := os.ReadFile(modulesFile)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(string(raw))
	got := golist(t, append([]string{"-deps", "-f", `{{with .Module}}{{.Path}}{{end}}`}, existing(t, libraries)...)...)
	got = slices.DeleteFunc(got, func(path string) bool { return path == modulePath })
	slices.Sort(got)
	got = slices.Compact(got)
	for _, path := range got {
		if !slices.Contains(want, path) {
			t.Errorf("the libraries now bring %s into every user's program. If that is really meant, add it to %s; "+
				"to see who imports it: go mod why -m %[1]s", path, modulesFile)
		}
	}
	for _, path := range want {
		if !slices.Contains(got, path) {
			t.Errorf("the libraries no longer need %s: good; take it out of %s", path, modulesFile)
		}
	}
}
