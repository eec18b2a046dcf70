// Package peer finds out who is at the other end of a TCP connection on this machine.
//
// It works on Linux, for connections whose both ends are in our network namespace; everywhere else nothing is known.
package peer

import (
	"errors"
	"net"
	"net/netip"
)

// Owner is what the system says about the other end's socket.
type Owner struct {
	UID   int    // of the user that made the socket, as our user namespace numbers it
	Inode uint64 // of the socket, never 0
}

var (
	// ErrGone is returned for a connection whose other end no process of ours to see has open: it is closed, or on another
	// machine or in another network namespace.
	ErrGone = errors.New("the other end is not open on this machine")
	// ErrUnknown is returned where the system does not tell.
	ErrUnknown = errors.New("this system does not tell who is at the other end")
)

// Find returns the owner of the other end of a connection, of which local and remote are our addresses: [ErrGone] or
// [ErrUnknown], perhaps wrapped, when there is none to be had. It takes some microseconds, and as many as there are
// connections on the machine where it has to read /proc.
func Find(local, remote net.Addr) (Owner, error) {
	l, r := addrPort(local), addrPort(remote)
	if !l.IsValid() || !r.IsValid() {
		return Owner{}, ErrUnknown
	}
	return find(l, r)
}

// UID returns the user at the other end.
func UID(local, remote net.Addr) (uid int, ok bool) {
	o, err := Find(local, remote)
	return o.UID, err == nil
}

// PID returns a process that has the other end open. It looks at the open files of all processes that we may look into, which
// takes milliseconds and more on a machine with many.
func PID(local, remote net.Addr) (pid int, ok bool) {
	o, err := Find(local, remote)
	if err != nil {
		return 0, false
	}
	return o.holder(allProcesses())
}

// PIDAmong returns the first of some processes that has the other end open; a socket may be open in a process and in the
// children that it forked.
func PIDAmong(local, remote net.Addr, pids []int) (pid int, ok bool) {
	o, err := Find(local, remote)
	if err != nil {
		return 0, false
	}
	return o.holder(pids)
}

// addrPort is the zero value for what is no TCP address. IPv4 in IPv6 becomes IPv4.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}
