//go:build !windows

package recovery

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/journal"
)

// Alive tells whether the forkspan that supervises a run is still there. A run of another boot is not, nor one whose pid has
// been given to a younger process since: in containers forkspan often has the same small pid every time.
func Alive(run store.Run) bool {
	if run.Kind != "run" || !run.End.IsZero() || run.PID <= 0 {
		return false
	}
	if here := BootID(); here != "" && run.BootID != "" && here != run.BootID {
		return false
	}
	if err := syscall.Kill(run.PID, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return false
	}
	const tolerance = 5 * time.Second
	began, ok := processStart("/proc", run.PID)
	if !ok || began.Before(run.Start.Add(tolerance)) {
		return true
	}
	// What /proc tells moves with the clock, when that is set while the run goes on.
	return run.Journal != "" && journal.Followed(run.Journal)
}

// processStart is when a process began, where /proc tells (proc_pid_stat(5), field 22, and btime of proc_stat(5)).
func processStart(proc string, pid int) (time.Time, bool) {
	const ticks = 100 // a second; the kernel's USER_HZ is 100 on every Linux
	stat, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "stat"))
	if err != nil {
		return time.Time{}, false
	}
	_, rest, ok := bytes.Cut(stat[max(0, bytes.LastIndexByte(stat, ')')):], []byte(" ")) // the name may hold anything
	fields := bytes.Fields(rest)
	const start = 22 - 3 // rest begins with field 3
	if !ok || len(fields) <= start {
		return time.Time{}, false
	}
	since, err := strconv.ParseInt(string(fields[start]), 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	system, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return time.Time{}, false
	}
	for line := range bytes.Lines(system) {
		if text, ok := bytes.CutPrefix(line, []byte("btime ")); ok {
			boot, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
			return time.Unix(boot, since*int64(time.Second/ticks)), err == nil
		}
	}
	return time.Time{}, false
}
