package interop

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"forkspan.dev/forkspan/journal"
)

// outcome is what a program lets others see.
type outcome struct{ status, stdout, stderr string }

// address is a place in memory, which differs each time.
var address = regexp.MustCompile(`0x[0-9a-f]{6,}`)

// see runs a Python program to its end.
func see(t *testing.T, dir string, env []string, version, stdin string, args ...string) outcome {
	t.Helper()
	return seeWith(t, dir, env, filepath.Join(cache, "python-"+version, "bin", "python"), stdin, args...)
}

func seeWith(t *testing.T, dir string, env []string, interpreter, stdin string, args ...string) outcome {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), interpreter, args...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, env, strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	clean := func(b bytes.Buffer) string { return address.ReplaceAllString(b.String(), "0x") }
	return outcome{cmd.ProcessState.String(), clean(stdout), clean(stderr)}
}

const raises = "def f():\n    raise ValueError('stdin')\nf()\n"

// samePrograms are the arguments of Python programs, most of which end badly.
var samePrograms = map[string][]string{
	"state":              {"state.py"},
	"exception":          {"raises.py"},
	"missing module":     {"import_missing.py"},
	"failing module":     {"import_fails.py"},
	"failing finder":     {"finder_fails.py"},
	"module with error":  {"-c", "import not_python"},
	"syntax error":       {"not_python.py"},
	"recursion":          {"recursion.py"},
	"finalizers":         {"finalizers.py"},
	"signal":             {"signalled.py"},
	"thread":             {"thread_fails.py"},
	"exporter":           {"exporter.py"},
	"package":            {"-m", "package", "a", "b"},
	"missing package":    {"-m", "no_such_package"},
	"exit status":        {"-c", "import sys; sys.exit(3)"},
	"exit text":          {"-c", "import sys; sys.exit('text')"},
	"os._exit":           {"-c", "import os; os._exit(7)"},
	"abort":              {"-c", "import os; os.abort()"},
	"interrupt":          {"-c", "import os, signal; os.kill(os.getpid(), signal.SIGINT)"},
	"stdin":              {"-"},
	"interactive":        {"-i", "-q", "-c", "print(1)"},
	"no such file":       {"no_such_file.py"},
	"warnings":           {"-X", "dev", "-bb", "-W", "error", "-c", "import json, asyncio, multiprocessing"},
	"optimized":          {"-OO", "raises.py"},
	"closed files":       {"-c", "import os; os.close(2); os.close(0); print(os.open('/dev/null', 0))"},
	"isolated":           {"-I", "raises.py"},
	"no site":            {"-S", "raises.py"},
	"ignore environment": {"-E", "raises.py"},
	"forked":             {"-c", "import os, sys\nif os.fork(): os.wait(); sys.exit(1)\nelse: 1/0"},
	"timeout":            {"timeout.py"},
}

// A program does not notice that it is instrumented, and neither does who looks at its output.
func TestInstrumentChangesNothing(t *testing.T) {
	for _, version := range pythons {
		for name, args := range samePrograms {
			t.Run(version+"/"+name, func(t *testing.T) {
				t.Parallel()
				dir := programs(t)
				want := see(t, dir, environment(), version, raises, args...)
				i := instrument(t)
				got := see(t, dir, i.env, version, raises, args...)
				if got != want {
					t.Errorf("with the module:\n%+v\nwithout:\n%+v", got, want)
				}
				i.checkOwn(name)
			})
		}
	}
}

// programs returns a copy of the programs, with one that no linter would like.
func programs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("python", "instrument", "same"))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "not_python.py"), []byte("def (\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// checkOwn checks that the module was at work, or that it was not where it cannot be.
func (i instrumented) checkOwn(name string) {
	i.t.Helper()
	var own []string
	for j, err := range journal.All(i.dir) {
		if err != nil {
			i.t.Fatal(err)
		}
		_, spans := decode(i.t, j.Requests())
		own = append(own, names(spans)...)
		if _, open := decode(i.t, j.UnfinishedRequests()); len(open) > 0 {
			i.t.Errorf("unfinished spans %q", names(open))
		}
	}
	off := name == "isolated" || name == "no site" || name == "ignore environment"
	if (len(own) == 0) != off {
		i.t.Errorf("spans of the module: %q", own)
	}
}

// A sitecustomize that is there runs as it would, also when it fails.
func TestInstrumentSitecustomize(t *testing.T) {
	tests := map[string]string{
		"good":      "import sys; sys.customized = __name__ + __file__",
		"exception": "import sys; sys.customized = 1; raise ValueError('of sitecustomize')",
		"missing":   "import no_such_module",
		"syntax":    "def (",
		"none":      "",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, site := programs(t), filepath.Join(t.TempDir(), "a folder")
			if err := os.MkdirAll(site, 0o700); err != nil {
				t.Fatal(err)
			}
			if text != "" {
				if err := os.WriteFile(filepath.Join(site, "sitecustomize.py"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			i := instrument(t)
			for _, path := range []string{site, site + string(os.PathListSeparator)} {
				var env []string
				for _, kv := range i.env {
					if module, ok := strings.CutPrefix(kv, "PYTHONPATH="); ok {
						kv = "PYTHONPATH=" + module + string(os.PathListSeparator) + path
					}
					env = append(env, kv)
				}
				for _, program := range []string{"custom.py", "state.py"} {
					want := see(t, dir, environment("PYTHONPATH="+path), "newest", "", program)
					if got := see(t, dir, env, "newest", "", program); got != want {
						t.Errorf("%s with the module:\n%+v\nwithout:\n%+v", program, got, want)
					}
				}
			}
		})
	}
}
