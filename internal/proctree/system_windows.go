package proctree

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// listProcesses lists all processes. Their starts must be asked for one by one.
func listProcesses() ([]seen, error) {
	snapshot, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = windows.CloseHandle(snapshot) }()
	var list []seen
	entry := windows.ProcessEntry32{Size: uint32(unsafe.Sizeof(windows.ProcessEntry32{}))}
	for err = windows.Process32First(snapshot, &entry); err == nil; err = windows.Process32Next(snapshot, &entry) {
		list = append(list, seen{
			pid: int(entry.ProcessID), parent: int(entry.ParentProcessID),
			program: windows.UTF16ToString(entry.ExeFile[:]),
		})
	}
	return list, nil
}

const access = windows.PROCESS_QUERY_LIMITED_INFORMATION | windows.SYNCHRONIZE

// startOf is in 100 ns since 1601; 0 when it may not be known.
func startOf(pid int) (uint64, time.Time) {
	handle, err := windows.OpenProcess(access, false, uint32(pid))
	if err != nil {
		return 0, time.Time{}
	}
	defer func() { _ = windows.CloseHandle(handle) }()
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(handle, &created, &exited, &kernel, &user); err != nil {
		return 0, time.Time{}
	}
	return amountOf(created), time.Unix(0, created.Nanoseconds())
}

// amountOf is in units of 100 ns.
func amountOf(t windows.Filetime) uint64 { return uint64(t.HighDateTime)<<32 | uint64(t.LowDateTime) }

func timeOf(start uint64) time.Time {
	t := windows.Filetime{LowDateTime: uint32(start), HighDateTime: uint32(start >> 32)}
	return time.Unix(0, t.Nanoseconds())
}

func durationOf(t windows.Filetime) time.Duration { return time.Duration(amountOf(t)) * 100 }

func cpuOf(usage *syscall.Rusage) (user, system time.Duration) {
	return durationOf(windows.Filetime(usage.UserTime)), durationOf(windows.Filetime(usage.KernelTime))
}

// holds keeps handles of the living, by which the system remembers how they ended.
type holds map[*node]windows.Handle

func newHolds() holds { return holds{} }

func (h holds) hold(n *node) {
	if handle, err := windows.OpenProcess(access, false, uint32(n.PID)); err == nil {
		h[n] = handle
	}
}

// ended tells whether a process has ended, which is listed as long as somebody holds it.
func (h holds) ended(n *node) bool {
	handle, ok := h[n]
	if !ok {
		return false
	}
	event, err := windows.WaitForSingleObject(handle, 0)
	return err == nil && event == windows.WAIT_OBJECT_0
}

// sample reads what a process has used.
func (h holds) sample(n *node) {
	var created, exited, kernel, user windows.Filetime
	if handle, ok := h[n]; ok && windows.GetProcessTimes(handle, &created, &exited, &kernel, &user) == nil {
		n.User, n.System = durationOf(user), durationOf(kernel)
	}
}

// finish reads how a process has ended, and when, and lets go of it.
func (h holds) finish(n *node) {
	handle, ok := h[n]
	if !ok {
		return
	}
	delete(h, n)
	defer func() { _ = windows.CloseHandle(handle) }()
	var code uint32
	if err := windows.GetExitCodeProcess(handle, &code); err == nil {
		n.Exited, n.Code = true, int(code)
	}
	var created, exited, kernel, user windows.Filetime
	if windows.GetProcessTimes(handle, &created, &exited, &kernel, &user) == nil {
		n.Ended, n.User, n.System = time.Unix(0, exited.Nanoseconds()), durationOf(user), durationOf(kernel)
	}
}

func (h holds) close() {
	for n, handle := range h {
		_ = windows.CloseHandle(handle)
		delete(h, n)
	}
}
