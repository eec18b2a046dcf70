package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"forkspan.dev/forkspan/internal/ownproc"
)

func find(local, remote netip.AddrPort) (Owner, error) {
	o, err := askKernel(remote, local)
	switch {
	case err == nil:
		answers.Store(true)
		return o, nil
	case errors.Is(err, ErrGone):
		return o, err
	case errors.Is(err, unix.ENOENT) && answers.Load():
		return o, ErrGone
	}
	return readTables(remote, local)
}

// answers tells that the kernel has answered a question before. One without the module for it finds nothing, ever.
var answers atomic.Bool

// patience bounds how long the kernel may take for its answer, which it gives at once.
const patience = time.Second

// Sizes of the structures of linux/inet_diag.h.
const (
	requestSize = 56 // struct inet_diag_req_v2
	answerSize  = 72 // struct inet_diag_msg
)

// askKernel asks for one socket by its addresses, see sock_diag(7).
func askKernel(local, remote netip.AddrPort) (Owner, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return Owner{}, fmt.Errorf("%w: open netlink: %w", ErrUnknown, err)
	}
	defer unix.Close(fd)
	wait := unix.NsecToTimeval(int64(patience))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return Owner{}, fmt.Errorf("%w: set up netlink: %w", ErrUnknown, err)
	}
	if err := unix.Sendto(fd, request(local, remote), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return Owner{}, fmt.Errorf("%w: ask netlink: %w", ErrUnknown, err)
	}
	var buf [1024]byte
	n, _, err := unix.Recvfrom(fd, buf[:], 0)
	if err != nil {
		return Owner{}, fmt.Errorf("%w: read netlink: %w", ErrUnknown, err)
	}
	return readAnswer(buf[:n])
}

// request is a netlink header and an inet_diag_req_v2.
func request(local, remote netip.AddrPort) []byte {
	b := make([]byte, unix.NLMSG_HDRLEN+requestSize)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST)
	m := b[unix.NLMSG_HDRLEN:]
	m[0] = unix.AF_INET
	if local.Addr().Is6() {
		m[0] = unix.AF_INET6
	}
	m[1] = unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(m[4:], ^uint32(0)) // any state
	binary.BigEndian.PutUint16(m[8:], local.Port())
	binary.BigEndian.PutUint16(m[10:], remote.Port())
	copy(m[12:28], local.Addr().AsSlice())
	copy(m[28:44], remote.Addr().AsSlice())
	binary.NativeEndian.PutUint64(m[48:], ^uint64(0)) // no cookie
	return b
}

// readAnswer reads an inet_diag_msg or an error.
func readAnswer(b []byte) (Owner, error) {
	if len(b) < unix.NLMSG_HDRLEN+4 {
		return Owner{}, fmt.Errorf("%w: short answer of netlink", ErrUnknown)
	}
	m := b[unix.NLMSG_HDRLEN:]
	switch binary.NativeEndian.Uint16(b[4:]) {
	case unix.NLMSG_ERROR:
		errno := unix.Errno(-int32(binary.NativeEndian.Uint32(m)))
		return Owner{}, fmt.Errorf("%w: netlink: %w", ErrUnknown, errno)
	case unix.SOCK_DIAG_BY_FAMILY:
	default:
		return Owner{}, fmt.Errorf("%w: strange answer of netlink", ErrUnknown)
	}
	if len(m) < answerSize {
		return Owner{}, fmt.Errorf("%w: short answer of netlink", ErrUnknown)
	}
	o := Owner{UID: int(binary.NativeEndian.Uint32(m[64:])), Inode: uint64(binary.NativeEndian.Uint32(m[68:]))}
	// A lookup falls back to a socket that listens at the address, which has no peer.
	if binary.BigEndian.Uint16(m[6:]) == 0 {
		return Owner{}, ErrGone
	}
	return o.open()
}

// open is o if a process has it open. A socket that its process has closed belongs to root for many kernels.
func (o Owner) open() (Owner, error) {
	if o.Inode == 0 {
		return Owner{}, ErrGone
	}
	return o, nil
}

// readTables finds the socket in the tables of /proc. A socket for IPv6 may have a connection over IPv4.
func readTables(local, remote netip.AddrPort) (Owner, error) {
	err := ErrUnknown
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, openErr := os.Open(name)
		if openErr != nil {
			continue
		}
		o, found, scanErr := scanTable(f, local, remote)
		f.Close()
		switch {
		case found:
			return o.open()
		case scanErr == nil:
			err = ErrGone
		}
	}
	return Owner{}, err
}

// allProcesses lists the processes of the machine.
func allProcesses() []int {
	f, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// holder returns the first of pids that has the socket open.
func (o Owner) holder(pids []int) (pid int, ok bool) {
	if !ownproc.Usual() {
		return 0, false // the pids there are not those that we know
	}
	want := "socket:[" + strconv.FormatUint(o.Inode, 10) + "]"
	for _, pid := range pids {
		if hasOpen(pid, want) {
			return pid, true
		}
	}
	return 0, false
}

func hasOpen(pid int, want string) bool {
	folder := "/proc/" + strconv.Itoa(pid) + "/fd"
	f, err := os.Open(folder)
	if err != nil {
		return false // it has ended, or we may not look
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(256)
		for _, name := range names {
			if target, err := os.Readlink(folder + "/" + name); err == nil && target == want {
				return true
			}
		}
		if err != nil {
			return false
		}
	}
}
