package proctree

import "time"

// ID names one process of this boot of the machine: pids are used again, a pid with its start is not.
type ID struct {
	PID int `json:"pid"`
	// Start is when it began, 0 where that is not known. On Linux it is in clock ticks since boot, field 22 of
	// /proc/PID/stat; for a process that ended before that could be read it is reckoned from the kernel's event and may
	// be one tick more. On macOS it is in microseconds since 1970, on Windows in 100 ns since 1601: as in a journal.
	Start uint64 `json:"start"`
}

// Process is what is known of one process. Times are on the wall clock; the zero time is one that is not known.
type Process struct {
	ID
	Parent  ID       `json:"parent"`         // who started it, not who adopted it; zero when not known
	Program string   `json:"program"`        // what the kernel calls it: at most 15 bytes, as last seen
	Args    []string `json:"args,omitempty"` // of its last exec that was seen; nil when it had ended before they could be read. Not scrubbed

	Started time.Time `json:"started,omitzero"`
	Execed  time.Time `json:"execed,omitzero"` // its last exec that was seen
	Ended   time.Time `json:"ended,omitzero"`

	Exited    bool `json:"exited,omitempty"` // Code and Signal are known
	Code      int  `json:"code,omitempty"`   // -1 for a signal
	Signal    int  `json:"signal,omitempty"`
	OOMKilled bool `json:"oomKilled,omitempty"` // the kernel says that it killed it for want of memory

	User   time.Duration `json:"user,omitempty"` // CPU time of its own, not its children's; nanoseconds, as last seen
	System time.Duration `json:"system,omitempty"`
	MaxRSS int64         `json:"maxRSS,omitempty"` // peak resident memory in bytes, as last seen; 0 when never seen
}

// Coverage is how completely a tree was watched.
type Coverage struct {
	Unwatched bool          `json:"unwatched,omitempty"` // this system's processes cannot be watched: only the root is known
	Events    bool          `json:"events"`              // the kernel told of every process; else they were looked for
	Step      time.Duration `json:"step,omitempty"`      // without events: a process that lived no longer than this may have been missed
	Forks     int64         `json:"forks,omitempty"`     // how many processes and threads the machine has started meanwhile; 0 when not known
	Missed    int64         `json:"missed,omitempty"`    // how often the kernel says that it dropped events
	Beyond    int64         `json:"beyond,omitempty"`    // processes seen and not remembered, as there were too many
}
