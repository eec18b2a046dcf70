package journal

import (
	"os"

	"golang.org/x/sys/unix"
)

// self is the identity of this process.
func self() identity {
	pid := os.Getpid()
	id := identity{pid: uint32(pid)}
	if boot, err := unix.Sysctl("kern.bootsessionuuid"); err == nil {
		id.boot = parseBootID(boot)
	}
	id.start, _ = exists(pid)
	return id
}

// exists tells whether the process with that pid is there, and when it began, in microseconds since 1970. A zombie is no
// process any more.
func exists(pid int) (start uint64, is bool) {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return 0, unix.Kill(pid, 0) != unix.ESRCH
	}
	const zombie = 5 // SZOMB of sys/proc.h
	t := info.Proc.P_starttime
	return uint64(t.Sec)*1_000_000 + uint64(t.Usec), info.Proc.P_stat != zombie
}
