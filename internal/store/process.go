package store

import (
	"cmp"
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/proctree"
)

// Process is one operating-system process of a run, with what is known of its spans.
type Process struct {
	proctree.Process                       // Args are scrubbed
	FirstSpan        time.Time             `json:"firstSpan,omitzero"` // start of its earliest span; zero without one
	Spans            int64                 `json:"spans,omitempty"`
	Senders          []otlp.ProcessSummary `json:"senders,omitempty"` // the resources that its spans came with, their counts aside
	Silent           bool                  `json:"silent,omitempty"`  // it ran and sent no span, without doubt
}

// ByStart orders the processes of a tree by their start; of those that the system's clock cannot tell apart the root is first,
// which has no parent.
func ByStart(a, b Process) int {
	root := func(p *Process) int { return min(p.Parent.PID, 1) }
	return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(root(&a), root(&b)), a.Started.Compare(b.Started), cmp.Compare(a.PID, b.PID))
}

// PutProcesses inserts processes of a run, or replaces those with the same pid and start.
func (s *Store) PutProcesses(ctx context.Context, run string, processes []Process) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store processes: %w", err)
	}
	err := s.change(func(c *conn) error {
		return c.transaction(func() error { return s.insertProcesses(c, run, processes) })
	})
	if err != nil {
		return explain("store processes", err)
	}
	return nil
}

// PutTree inserts a run with all of its processes at once, or replaces what there was of both.
func (s *Store) PutTree(ctx context.Context, run Run, processes []Process) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store run: %w", err)
	}
	err := s.change(func(c *conn) error {
		return c.transaction(func() error {
			if _, err := c.insertRun("INSERT OR REPLACE", run); err != nil {
				return err
			}
			if _, _, err := c.exec("DELETE FROM process WHERE run = ?", run.ID); err != nil {
				return err
			}
			return s.insertProcesses(c, run.ID, processes)
		})
	})
	if err != nil {
		return explain("store run", err)
	}
	return nil
}

func (s *Store) insertProcesses(c *conn, run string, processes []Process) error {
	const query = "INSERT OR REPLACE INTO process (run, pid, start, facts) VALUES (?, ?, ?, ?)"
	for i := range processes {
		process := processes[i].Scrubbed(s.opts.Redact)
		facts, err := json.Marshal(&process)
		if err != nil {
			return err
		}
		if _, _, err := c.exec(query, run, int64(process.PID), int64(process.Start), string(facts)); err != nil {
			return err
		}
	}
	return nil
}

// Tree returns the operating-system processes of a run, by their start, the command's first.
func (s *Store) Tree(ctx context.Context, run string) (processes []Process, err error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read processes: %w", err)
	}
	err = s.read(func(c *conn) error {
		return c.query("SELECT facts FROM process WHERE run = ? ORDER BY start, pid", func(columns []driver.Value) error {
			facts, _ := columns[0].(string)
			var p Process
			if err := json.Unmarshal([]byte(facts), &p); err != nil {
				return err
			}
			processes = append(processes, p)
			return nil
		}, run)
	})
	if err != nil {
		return nil, explain("read processes", err)
	}
	slices.SortStableFunc(processes, ByStart)
	return processes, nil
}
