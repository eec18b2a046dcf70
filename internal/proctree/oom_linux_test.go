package proctree

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// Where the log may not be read, a kill that the control group has counted is that of the process that just ended by
// KILL, once; a count that nobody accounted for is another's.
func TestOOMByCount(t *testing.T) {
	counter := t.TempDir() + "/memory.events"
	count := func(n int) {
		if err := os.WriteFile(counter, fmt.Appendf(nil, "oom %d\noom_kill %d\n", n, n), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	count(3)
	o := oomWatch{log: -1, counter: counter, count: 3}
	if o.killed(10) {
		t.Error("killed before it was counted")
	}
	count(4)
	if !o.killed(10) || o.killed(11) {
		t.Error("one kill is not one process's")
	}
	count(6)
	now := time.Now()
	o.settle(now)
	if !o.killed(12) {
		t.Error("a process that took its time to end was not killed")
	}
	o.settle(now.Add(oomPatience - 1))
	o.settle(now.Add(oomPatience))
	if o.killed(13) {
		t.Error("killed by what others were killed by")
	}
}
