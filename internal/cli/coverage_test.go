package cli

import (
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/proctree"
	"forkspan.dev/forkspan/internal/store"
)

// What may be missing is said when it is more than chance.
func TestCoverageLine(t *testing.T) {
	for name, tt := range map[string]struct {
		processes int64
		coverage  proctree.Coverage
		want      string
	}{
		"few":        {4, proctree.Coverage{Step: 13 * time.Millisecond, Forks: 60}, ""},
		"nearly all": {3000, proctree.Coverage{Step: 13 * time.Millisecond, Forks: 3200}, ""},
		"a third":    {1114, proctree.Coverage{Step: 13 * time.Millisecond, Forks: 3100}, "processes that lived for less than 13ms may be missing: 1,114 seen, 3,100 started on this machine meanwhile, threads included"},
		"told of":    {1114, proctree.Coverage{Events: true, Step: 13 * time.Millisecond, Forks: 3100}, ""},
		"dropped":    {1114, proctree.Coverage{Events: true, Missed: 1}, "processes may be missing: the kernel could not tell of all of them"},
		"too many":   {100_000, proctree.Coverage{Events: true, Beyond: 1234}, "1,234 more processes are not kept: they were too many"},
		"not at all": {1, proctree.Coverage{Unwatched: true, Forks: 3100}, ""},
	} {
		if got := coverageLine(store.Account{Processes: tt.processes, Coverage: &tt.coverage}); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
