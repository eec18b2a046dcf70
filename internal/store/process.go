package store

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
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

// PutProcesses inserts processes of a run, or replaces those with the same pid and start.
func (s *Store) PutProcesses(ctx context.Context, run string, processes []Process) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store processes: %w", err)
	}
	err := s.change(func(c *conn) error {
		return c.transaction(func() error {
			for i := range processes {
				process := processes[i].Scrubbed(s.opts.Redact)
				facts, err := json.Marshal(&process)
				if err != nil {
					return err
				}
				const query = "INSERT OR REPLACE INTO process (run, pid, start, facts) VALUES (?, ?, ?, ?)"
				_, _, err = c.exec(query, run, int64(processes[i].PID), int64(processes[i].Start), string(facts))
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return explain("store processes", err)
	}
	return nil
}

// Tree returns the operating-system processes of a run, by their start.
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
	return processes, nil
}
