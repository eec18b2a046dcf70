//go:build !windows

package cli

import (
	"errors"
	"os"
	"strings"
	"syscall"

	"forkspan.dev/forkspan/internal/store"
)

// alive tells whether the forkspan that supervises a run is still there. A run of another boot, or of another machine that shares
// the store, is not.
func alive(run store.Run) bool {
	if run.Kind != "run" || !run.End.IsZero() || run.PID <= 0 {
		return false
	}
	if id, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil && run.BootID != "" &&
		strings.TrimSpace(string(id)) != run.BootID {
		return false
	}
	err := syscall.Kill(run.PID, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
