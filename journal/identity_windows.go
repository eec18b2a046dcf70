package journal

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// self is the identity of this process. Its start is absolute, so no boot id is needed.
func self() identity {
	pid := os.Getpid()
	start, _ := exists(pid)
	return identity{pid: uint32(pid), start: start}
}

// exists tells whether the process with that pid is there, and when it began, in 100 ns since 1601.
func exists(pid int) (start uint64, is bool) {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION|windows.SYNCHRONIZE, false, uint32(pid))
	if err != nil {
		return 0, errors.Is(err, windows.ERROR_ACCESS_DENIED)
	}
	defer func() { _ = windows.CloseHandle(h) }()
	if event, err := windows.WaitForSingleObject(h, 0); err == nil && event == windows.WAIT_OBJECT_0 {
		return 0, false // ended, and somebody holds on to it
	}
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(h, &created, &exited, &kernel, &user); err != nil {
		return 0, true
	}
	return uint64(created.HighDateTime)<<32 | uint64(created.LowDateTime), true
}
