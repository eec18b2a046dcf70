package journal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// self is the identity of this process.
func self() identity {
	pid := os.Getpid()
	id := identity{pid: uint32(pid), namespace: pidNamespace()}
	if boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		id.boot = parseBootID(string(boot))
	}
	id.start, _ = processStart(pid)
	return id
}

// exists tells whether the process with that pid is there, and when it began.
func exists(pid int) (start uint64, is bool) {
	if err := syscall.Kill(pid, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return 0, false
	}
	return processStart(pid)
}

// processStart is when a process began, in clock ticks since the boot: proc_pid_stat(5), field 22. A zombie is no process any
// more. Without /proc the start is 0, not known.
func processStart(pid int) (start uint64, is bool) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, true
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // from field 3; the name before it may hold anything
	// The manual counts from 1, and these fields from its third.
	const state, begin = 0, 19
	if len(fields) <= begin {
		return 0, true
	}
	start, err = strconv.ParseUint(string(fields[begin]), 10, 64)
	if err != nil {
		return 0, true
	}
	s := fields[state][0]
	return start, s != 'Z' && s != 'X'
}

// pidNamespace is the inode of this process's pid namespace: pid_namespaces(7).
func pidNamespace() uint64 {
	link, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return 0
	}
	text, ok := strings.CutPrefix(link, "pid:[")
	if !ok {
		return 0
	}
	inode, _ := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 64)
	return inode
}
