package interop

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"forkspan.dev/forkspan/forkspantest"
)

// underInstrumentedRun runs a Python script under `forkspan run --instrument=python` and returns the spans.
func underInstrumentedRun(t *testing.T, vars []string, command ...string) []forkspantest.Span {
	t.Helper()
	file := filepath.Join(t.TempDir(), "run.jsonl")
	env := environment(append(vars, "XDG_STATE_HOME="+t.TempDir())...)
	execute(t, env, append([]string{ours("forkspan"), "run", "--instrument=python", "-o", file, "--"}, command...)...)
	return readSpans(t, file)
}

// runInstrumented runs a command under `forkspan run --instrument=python` and returns what came on its two outputs.
func runInstrumented(t *testing.T, vars []string, command ...string) (stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), ours("forkspan"), append([]string{"run", "--instrument=python", "--"}, command...)...)
	cmd.Env = environment(append(vars, "XDG_STATE_HOME="+t.TempDir())...)
	var out, account strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &account
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), account.String())
	}
	return out.String(), account.String()
}

// parentOf returns the name of a span's parent, the last of that name.
func parentOf(spans []forkspantest.Span, name string) string {
	child, ok := find(spans, name)
	if !ok {
		return "no span " + name
	}
	for _, s := range spans {
		if bytes.Equal(s.GetSpanId(), child.GetParentSpanId()) {
			return s.GetName()
		}
	}
	return ""
}

// Slow modules are spans, nested as they import each other, also in a program without OpenTelemetry.
func TestInstrumentImports(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.py":               "import slow_tree\nimport slow_tree.late",
		"slow_tree/__init__.py": "from . import a",
		"slow_tree/a.py":        "import time; time.sleep(0.06)\nfrom . import b",
		"slow_tree/b.py":        "import time; time.sleep(0.06)",
		"slow_tree/late.py":     "import time; time.sleep(0.06)",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	python := filepath.Join(cache, "python-newest", "bin", "python")
	spans := underInstrumentedRun(t, nil, python, filepath.Join(dir, "main.py"))
	for child, want := range map[string]string{
		"import slow_tree.b": "import slow_tree.a", "import slow_tree.a": "import slow_tree", "import slow_tree": "python",
		"import slow_tree.late": "python", "python start": "python", "python exit": "python",
	} {
		if got := parentOf(spans, child); got != want {
			t.Errorf("the parent of %q is %q, want %q", child, got, want)
		}
	}
}

// vLLM's way of setting itself up works with the module as without it, and no span comes twice.
func TestInstrumentVLLM(t *testing.T) {
	for _, version := range pythons {
		for _, way := range []string{"call", "async", "spawn", "fork"} {
			t.Run(version+"/"+way, func(t *testing.T) {
				t.Parallel()
				chain := []link{{"python", way}, goCommand}
				spans := underInstrumentedRun(t, hostile(t), command(chain, version, 1)...)
				spans = slices.DeleteFunc(spans, func(s forkspantest.Span) bool { return s.Scope.GetName() == instrumentScope })
				checkWork(t, spans, "step 1")
				tree := forkspantest.Tree(spans)
				for _, span := range []string{"step 1", "step 2"} {
					if strings.Count(tree, span+"\n") != 1 {
						t.Errorf("want one %s in\n%s", span, tree)
					}
				}
			})
		}
	}
}
