package cli

import (
	"encoding/binary"
	"maps"
	"sync"

	"forkspan.dev/forkspan/internal/forward"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

// runCounts is what became of a run's spans. It is safe for concurrent use.
type runCounts struct {
	mu        *sync.Mutex
	spans     int64
	open      int64               // spans that were never ended
	traces    map[uint64]struct{} // by the random half of their ids
	processes map[otlp.ProcessSummary]struct{}
	dropped   map[string]int64
	sent      forward.Stats
}

func newRunCounts() runCounts {
	return runCounts{
		mu: new(sync.Mutex), traces: make(map[uint64]struct{}), processes: make(map[otlp.ProcessSummary]struct{}),
		dropped: make(map[string]int64),
	}
}

// add counts a stored request of the command's processes. One that holds only the beginnings of spans is counted when they end.
func (c *runCounts) add(sum otlp.Summary) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addSpans(sum)
	for _, p := range sum.Processes {
		p.Spans = 0
		c.processes[p] = struct{}{}
	}
}

// addOwn counts a stored request of our own.
func (c *runCounts) addOwn(sum otlp.Summary) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addSpans(sum)
}

func (c *runCounts) addSpans(sum otlp.Summary) {
	for _, t := range sum.Traces {
		if t.End != 0 {
			c.spans += int64(t.Spans)
		}
		c.traces[binary.BigEndian.Uint64(t.TraceID[8:])] = struct{}{}
	}
}

func (c *runCounts) drop(reason string, spans int) {
	if spans == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped[reason] += int64(spans)
}

func (c *runCounts) forwarded(stats forward.Stats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = stats
}

// leave notes how many spans have begun, and will not end in this run.
func (c *runCounts) leave(spans int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = int64(spans)
}

// account returns the counts as they are kept with the run.
func (c *runCounts) account() store.Account {
	c.mu.Lock()
	defer c.mu.Unlock()
	return store.Account{
		Spans: c.spans, Unfinished: c.open, Traces: int64(len(c.traces)), Processes: int64(len(c.processes)), Senders: int64(len(c.processes)), Dropped: maps.Clone(c.dropped),
	}
}
