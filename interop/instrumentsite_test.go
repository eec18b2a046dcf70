package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A usercustomize runs as it would: in an interpreter that has such a thing, which those of virtual environments have not.
func TestInstrumentUsercustomize(t *testing.T) {
	venv := filepath.Join(cache, "python-newest", "bin", "python")
	base, err := filepath.EvalSymlinks(venv)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"good":      "import sys; sys.customized = __name__ + __file__",
		"exception": "import sys; sys.customized = 1; raise ValueError('of usercustomize')",
		"exit":      "import os; os._exit(3)",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := programs(t)
			site := strings.TrimSpace(execute(t, environment("PYTHONUSERBASE="+t.TempDir()), base, "-m", "site", "--user-site"))
			if err := os.MkdirAll(site, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(site, "usercustomize.py"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			i := instrument(t)
			user := "PYTHONUSERBASE=" + strings.TrimSuffix(site, filepath.Join("lib", filepath.Base(filepath.Dir(site)), "site-packages"))
			want := seeWith(t, dir, environment(user), base, "", "custom.py")
			if got := seeWith(t, dir, append(slices.Clone(i.env), user), base, "", "custom.py"); got != want {
				t.Errorf("with the module:\n%+v\nwithout:\n%+v", got, want)
			}
			if !strings.Contains(want.stdout, "usercustomize") && name == "good" {
				t.Errorf("the usercustomize has not run: %+v", want)
			}
		})
	}
}

// Where the user's state cannot be kept, the module is in the temporary folder.
func TestInstrumentWithoutState(t *testing.T) {
	file := filepath.Join(t.TempDir(), "run.jsonl")
	cmd := exec.CommandContext(t.Context(), ours("forkspan"), "run", "-q", "--instrument=python", "-o", file, "--",
		filepath.Join(cache, "python-newest", "bin", "python"), "-c", "pass")
	cmd.Env = environment("XDG_STATE_HOME="+os.DevNull, "TMPDIR="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, ok := find(readSpans(t, file), "python start"); !ok {
		t.Error("the process was not instrumented")
	}
}
