package supervise

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxRSSUnit is the unit of ru_maxrss in bytes.
const maxRSSUnit = 1024

// adopt makes us the parent of the command's orphans.
func (p *Process) adopt() bool {
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == nil
}

// reapOrphans takes the status of adopted processes that have ended. It tells whether no child is left at all, which,
// with no child of anybody else's, means no descendant.
func (p *Process) reapOrphans() (none bool) {
	if !p.subreaper && os.Getpid() != 1 {
		return false
	}
	for {
		pid, err := zombie()
		switch {
		case err == unix.EINTR:
		case err != nil:
			return true // ECHILD
		case pid == 0 || pid == p.pid && !p.ended():
			return false // the command is for poll, which is called again: its end sends a SIGCHLD
		default:
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		}
	}
}

// zombie finds a child that has ended and leaves it as it is; 0 when there are only living ones.
func zombie() (int, error) {
	// The kernel's siginfo for a child: pid is the first of the union, which on 64-bit systems is aligned to 8.
	var info struct {
		head [3]int32
		_    int32
		pid  int32
		rest [27]int32
	}
	err := unix.Waitid(unix.P_ALL, 0, (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return int(info.pid), err
}

// hasStopped tells whether the command is stopped at this moment.
func (p *Process) hasStopped() bool {
	return processState(p.pid) == 'T'
}

// processState is the state letter of /proc/PID/stat, 0 for a process that is gone. It stands after the name, which is
// in parentheses and may contain some.
func processState(pid int) byte {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 || end+2 >= len(stat) {
		return 0
	}
	return stat[end+2]
}

// peakRSS is our own peak resident memory in bytes. (getrusage would count that of the program before our exec.)
func peakRSS() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10
		}
	}
	return 0
}
