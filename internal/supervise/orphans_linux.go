package supervise

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// orphans is what we do about adopted processes.
type orphans struct {
	subreaper bool
	others    map[int]bool // children of ours that are not the command's, by pid
}

// adopt makes us the parent of the command's orphans. PID 1 is that anyway.
func (p *Process) adopt(allowed bool) {
	p.subreaper = os.Getpid() == 1 || allowed && unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == nil
	p.others = map[int]bool{}
	for _, pid := range children(os.Getpid()) {
		p.others[pid] = true
	}
}

// abandon leaves orphans to those who get them without us.
func (p *Process) abandon() {
	if p.subreaper {
		_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) // PID 1 gets them all the same
	}
}

// reapOrphans takes the status of adopted processes that have ended and tells whether no other is left.
func (p *Process) reapOrphans() (none bool) {
	if !p.subreaper {
		return true
	}
	family.Lock()
	defer family.Unlock()
	for {
		pid, err := zombie()
		switch {
		case err == unix.EINTR:
		case err == unix.ECHILD:
			return true
		case err != nil || pid == 0:
			return len(p.others) > 0 && len(p.adopted()) == 0
		case p.isOrphan(pid), p.others[pid] && os.Getpid() == 1:
			p.reap(pid)
		default: // not ours to take, and it hides those behind it
			for _, pid := range children(os.Getpid()) {
				if p.isOrphan(pid) {
					p.reap(pid)
				}
			}
			return len(p.others) > 0 && len(p.adopted()) == 0
		}
	}
}

// reap takes the status of a child if it has ended.
func (p *Process) reap(pid int) {
	p.tellEnd(pid)
	_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
}

// tellEnd tells whoever wants to know how a child ended, if it has, and leaves it as it is. The caller holds family.
func (p *Process) tellEnd(pid int) {
	if p.reaped == nil {
		return
	}
	var info childInfo
	var usage unix.Rusage
	const options = unix.WEXITED | unix.WNOHANG | unix.WNOWAIT
	err := unix.Waitid(unix.P_PID, pid, info.siginfo(), options, &usage)
	if err != nil || int(info.pid) != pid {
		return
	}
	// The status in the form of wait: an exit code in the second byte, or a signal in the first.
	status := syscall.WaitStatus(info.status & 0xff << 8)
	switch info.head[2] { // the code
	case cldKilled:
		status = syscall.WaitStatus(info.status & 0x7f)
	case cldDumped:
		status = syscall.WaitStatus(info.status&0x7f | 0x80)
	}
	p.reaped(pid, status, (*syscall.Rusage)(unsafe.Pointer(&usage))) // the same structure of the kernel's
}

// tellEnded tells nothing: tellEnd has.
func (p *Process) tellEnded(syscall.WaitStatus, *syscall.Rusage) {}

// Codes of waitid for a child that has ended by a signal.
const (
	cldKilled = 2
	cldDumped = 3
)

// childInfo is the kernel's siginfo about a child. From the pid on it is a union, which on 64-bit systems is aligned to
// 8. The first three are signal, error and code (on MIPS in another order).
type childInfo struct {
	head   [3]int32
	_      int32
	pid    int32
	uid    int32
	status int32
	rest   [25]int32
}

func (i *childInfo) siginfo() *unix.Siginfo { return (*unix.Siginfo)(unsafe.Pointer(i)) }

// isOrphan tells whether a child of ours is one that we have adopted.
func (p *Process) isOrphan(pid int) bool { return !p.others[pid] && !family.commands[pid] }

// zombie finds a child that has ended and leaves it as it is; 0 when all of them live.
func zombie() (int, error) {
	var info childInfo
	err := unix.Waitid(unix.P_ALL, 0, info.siginfo(), unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return int(info.pid), err
}

// adopted lists the living children that came to us as orphans of the command.
func (p *Process) adopted() []int {
	if !p.subreaper {
		return nil
	}
	var list []int
	for _, pid := range children(os.Getpid()) {
		if p.isOrphan(pid) && alive(pid) {
			list = append(list, pid)
		}
	}
	return list
}

// signalAdopted sends signals to the adopted processes that sent does not hold yet, and adds them. Only children are
// signalled: their pid cannot become another process's before we reap them. Theirs will be ours when they have ended.
func (p *Process) signalAdopted(sent map[int]bool, signals ...syscall.Signal) {
	family.Lock()
	defer family.Unlock()
	for _, pid := range p.adopted() {
		if sent[pid] {
			continue
		}
		sent[pid] = true
		for _, sig := range signals {
			_ = syscall.Kill(pid, sig) // fails for a process that has become another user's: it stays
		}
	}
}

// askAdopted sends TERM to the adopted processes that asked does not hold yet, and adds them.
func (p *Process) askAdopted(asked map[int]bool) {
	p.signalAdopted(asked, unix.SIGTERM, unix.SIGCONT) // a stopped process would not take TERM alone
}

func (p *Process) killAdopted() { p.signalAdopted(map[int]bool{}, unix.SIGKILL) }

// descendants lists the adopted processes and all below them.
func (p *Process) descendants() []Descendant {
	family.Lock()
	defer family.Unlock()
	var list []Descendant
	self := os.Getpid()
	for _, pid := range p.adopted() {
		list = append(list, Descendant{PID: pid, Parent: self, Name: programName(pid)})
	}
	for i := 0; i < len(list); i++ { // list grows as it is read
		for _, pid := range children(list[i].PID) {
			if alive(pid) {
				list = append(list, Descendant{PID: pid, Parent: list[i].PID, Name: programName(pid)})
			}
		}
	}
	return list
}
