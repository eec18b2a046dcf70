package proctree

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// oomWatch finds out which processes the kernel has killed for want of memory: from the kernel's log where we may read
// it, else from the count of a control group.
type oomWatch struct {
	log     int          // descriptor of the kernel's log; -1 when it may not be read
	pids    map[int]bool // killed, as the log says
	counter string       // file that counts the kills of the root's control group; empty without one
	count   int64        // kills that are accounted for
	ahead   time.Time    // since when there are more
}

// initialPIDs is the machine's pid namespace, whose pids the kernel's log tells.
const initialPIDs = "pid:[4026531836]"

func (o *oomWatch) open() {
	o.log, o.pids = -1, map[int]bool{}
	if namespace, err := os.Readlink("/proc/self/ns/pid"); err != nil || namespace != initialPIDs {
		return
	}
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	if _, err = unix.Seek(fd, 0, unix.SEEK_END); err != nil {
		_ = unix.Close(fd)
		return
	}
	o.log = fd
}

func (o *oomWatch) close() {
	if o.log >= 0 {
		_ = unix.Close(o.log)
	}
}

// begin finds the counter of the control group that a process is in.
func (o *oomWatch) begin(p *procfs, pid int) {
	if o.log >= 0 {
		return
	}
	content, err := p.read(p.path(pid, "cgroup"))
	if err != nil {
		return
	}
	for _, candidate := range oomCounters(string(content)) {
		if n, ok := readOOMKills(candidate); ok {
			o.counter, o.count = candidate, n
			return
		}
	}
}

func readOOMKills(path string) (int64, bool) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	return parseOOMKills(content)
}

// killed tells whether the kernel says that it killed a process, which has ended by KILL just now.
func (o *oomWatch) killed(pid int) bool {
	if o.log >= 0 {
		o.readLog()
		killed := o.pids[pid]
		delete(o.pids, pid)
		return killed
	}
	if o.counter == "" {
		return false
	}
	if n, ok := readOOMKills(o.counter); !ok || n <= o.count {
		return false
	}
	o.count++
	return true
}

// oomPatience is how long a process that was killed may take to end: it has much memory to give back.
const oomPatience = 2 * time.Second

// settle gives up on kills whose process was not seen to end: it was none of the tree.
func (o *oomWatch) settle(now time.Time) {
	if o.counter == "" {
		return
	}
	n, ok := readOOMKills(o.counter)
	switch {
	case !ok:
	case n <= o.count:
		o.ahead = time.Time{}
	case o.ahead.IsZero():
		o.ahead = now
	case now.Sub(o.ahead) >= oomPatience:
		o.count, o.ahead = n, time.Time{}
	}
}

// maxOOMKills is how many kills of others are kept.
const maxOOMKills = 1024

// readLog reads what the kernel has logged since the last time.
func (o *oomWatch) readLog() {
	buffer := make([]byte, 8192) // one record a read
	for {
		n, err := unix.Read(o.log, buffer)
		switch err {
		case nil:
		case unix.EINTR, unix.EPIPE: // EPIPE: records were overwritten before we read them
			continue
		default:
			return
		}
		if pid, ok := parseOOMRecord(buffer[:n]); ok {
			if len(o.pids) >= maxOOMKills {
				clear(o.pids)
			}
			o.pids[pid] = true
		}
	}
}
