//go:build !windows

package recovery

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/journal"
)

func TestAlive(t *testing.T) {
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	followed := t.TempDir()
	tail, err := journal.OpenTail(followed, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close(false)
	early := time.Now().Add(-100 * time.Hour)
	run := store.Run{Kind: "run", PID: os.Getpid(), Start: time.Now()}
	for _, test := range []struct {
		name   string
		change func(*store.Run)
		want   bool
	}{
		{"its forkspan is there", func(*store.Run) {}, true},
		{"it has ended", func(r *store.Run) { r.End = time.Now() }, false},
		{"its forkspan is gone", func(r *store.Run) { r.PID = gone.Process.Pid }, false},
		{"an import", func(r *store.Run) { r.Kind = "import" }, false},
		{"another boot", func(r *store.Run) { r.BootID = "another" }, !onLinux()},
		{"a younger process has its pid", func(r *store.Run) { r.Start = early }, !onLinux()},
		{"a younger one, and nobody follows", func(r *store.Run) { r.Start, r.Journal = early, t.TempDir() }, !onLinux()},
		{"the clock was set meanwhile", func(r *store.Run) { r.Start, r.Journal = early, followed }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := run
			test.change(&r)
			if got := Alive(r); got != test.want {
				t.Errorf("alive: %v", got)
			}
		})
	}
}

func onLinux() bool {
	_, err := os.Stat("/proc/self/stat")
	return err == nil
}

func TestProcessStart(t *testing.T) {
	proc := t.TempDir()
	if err := os.Mkdir(filepath.Join(proc, "7"), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(proc, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("stat", "cpu  1 2\nbtime 1700000000\nprocesses 5\n")
	write("7/stat", "7 (a) b 9) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 1234 0 0 0\n")
	if got, ok := processStart(proc, 7); !ok || !got.Equal(time.Unix(1_700_000_012, 340_000_000)) {
		t.Errorf("%v, %v", got, ok)
	}
	for _, damaged := range []string{"", "7", "7 (a", "7 (a) S 1 2", "7 (a) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 x 0"} {
		write("7/stat", damaged)
		if got, ok := processStart(proc, 7); ok {
			t.Errorf("%q gives %v", damaged, got)
		}
	}
}
