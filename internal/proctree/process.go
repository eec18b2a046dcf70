package proctree

import "time"

// ID names one process of this boot of the machine: pids are used again, a pid with its start is not.
type ID struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since boot: field 22 of /proc/PID/stat; 0 where it is not known
}

// Process is what is known of one process. Times are on the wall clock; the zero time is one that is not known.
type Process struct {
	ID
	Parent  ID       `json:"parent"`         // who started it, not who adopted it; zero when not known
	Program string   `json:"program"`        // what the kernel calls it: at most 15 bytes, of its last exec
	Args    []string `json:"args,omitempty"` // of its last exec that was seen; nil when it had ended before they could be read. Not scrubbed

	Started time.Time `json:"started,omitzero"`
	Execed  time.Time `json:"execed,omitzero"` // its last exec that was seen
	Ended   time.Time `json:"ended,omitzero"`

	Exited    bool `json:"exited,omitempty"` // Code and Signal are known
	Code      int  `json:"code,omitempty"`   // -1 for a signal
	Signal    int  `json:"signal,omitempty"`
	OOMKilled bool `json:"oomKilled,omitempty"` // the kernel says that it killed it for want of memory

	User   time.Duration `json:"user,omitempty"` // CPU time, nanoseconds, as last seen
	System time.Duration `json:"system,omitempty"`
	MaxRSS int64         `json:"maxRSS,omitempty"` // peak resident memory in bytes, as last seen; 0 when never seen
}

// Coverage is how completely a tree was watched.
type Coverage struct {
	Events bool          `json:"events"`           // the kernel told of every process; else they were looked for
	Step   time.Duration `json:"step,omitempty"`   // without events: a process that lived no longer than this may have been missed
	Forks  int64         `json:"forks,omitempty"`  // how many processes the machine has started meanwhile; 0 when not known
	Missed int64         `json:"missed,omitempty"` // events that the kernel says it dropped
}
