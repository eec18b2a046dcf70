package proctree

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// listProcesses lists all living processes. Their arguments cannot be had without their environment, so they are not
// read.
func listProcesses() ([]seen, error) {
	all, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil, err
	}
	list := make([]seen, 0, len(all))
	for i := range all {
		p := &all[i]
		const zombie = 5 // SZOMB of sys/proc.h
		if p.Proc.P_stat == zombie {
			continue
		}
		list = append(list, seen{
			pid: int(p.Proc.P_pid), parent: int(p.Eproc.Ppid), group: int(p.Eproc.Pgid),
			start: startOfInfo(p), program: unix.ByteSliceToString(p.Proc.P_comm[:]),
		})
	}
	return list, nil
}

// startOfInfo is in microseconds since 1970.
func startOfInfo(p *unix.KinfoProc) uint64 {
	t := p.Proc.P_starttime
	return uint64(t.Sec)*1_000_000 + uint64(t.Usec)
}

func startOf(pid int) (uint64, time.Time) {
	p, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return 0, time.Time{}
	}
	start := startOfInfo(p)
	return start, timeOf(start)
}

func timeOf(start uint64) time.Time { return time.UnixMicro(int64(start)) }

func cpuOf(usage *syscall.Rusage) (user, system time.Duration) {
	return time.Duration(usage.Utime.Nano()), time.Duration(usage.Stime.Nano())
}

// holds is nothing: how a process ended that is none of our children is not to be known.
type holds struct{}

func newHolds() holds          { return holds{} }
func (holds) hold(*node)       {}
func (holds) ended(*node) bool { return false }
func (holds) finish(*node)     {}
func (holds) sample(*node)     {}
func (holds) close()           {}
