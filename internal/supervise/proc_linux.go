package supervise

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"forkspan.dev/forkspan/internal/ownproc"
)

// procFile reads a file of a process in /proc; it is empty when the process is gone, or cannot be seen there.
func procFile(pid int, name string) []byte {
	if !ownproc.Usual() {
		return nil
	}
	content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), name))
	if err != nil {
		return nil
	}
	return content
}

// children lists the children of a process, those that have ended and are not yet reaped included. The kernel may leave
// some out when others end meanwhile.
func children(pid int) []int {
	if !ownproc.Usual() {
		return nil // those there are no children of ours, and not for us to signal
	}
	tasks, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "task"))
	if err != nil {
		return nil
	}
	var list []int
	for _, task := range tasks {
		for field := range strings.FieldsSeq(string(procFile(pid, filepath.Join("task", task.Name(), "children")))) {
			if child, err := strconv.Atoi(field); err == nil {
				list = append(list, child)
			}
		}
	}
	return list
}

// state is the state letter of /proc/PID/stat, 0 for a process that is gone. It stands after the name, which is in
// parentheses and may contain some.
func state(pid int) byte {
	stat := procFile(pid, "stat")
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 || end+2 >= len(stat) {
		return 0
	}
	return stat[end+2]
}

func alive(pid int) bool {
	switch state(pid) {
	case 0, 'Z', 'X':
		return false
	}
	return true
}

// hasStopped tells whether the command is stopped at this moment.
func (p *Process) hasStopped() bool { return state(p.pid) == 'T' }

// programName is what the kernel calls the program: at most 15 bytes.
func programName(pid int) string { return strings.TrimSpace(string(procFile(pid, "comm"))) }

// peakRSS is our own peak resident memory in bytes. getrusage counts that of the program before our exec, too: it is asked where
// /proc does not tell.
func peakRSS() int64 {
	for line := range strings.Lines(string(procFile(os.Getpid(), "status"))) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10
		}
	}
	var usage unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &usage) // never fails
	return int64(usage.Maxrss) << 10
}

// maxRSSUnit is the unit of ru_maxrss in bytes.
const maxRSSUnit = 1024
