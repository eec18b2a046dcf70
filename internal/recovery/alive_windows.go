package recovery

import (
	"os"

	"forkspan.dev/forkspan/internal/store"
)

// Alive tells whether the forkspan that supervises a run is still there.
func Alive(run store.Run) bool {
	if run.Kind != "run" || !run.End.IsZero() || run.PID <= 0 {
		return false
	}
	p, err := os.FindProcess(run.PID) // fails on Windows when there is no such process
	if err != nil {
		return false
	}
	_ = p.Release()
	return true
}
