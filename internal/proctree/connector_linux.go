package proctree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// connector receives process events from the kernel. That is permitted in the machine's own namespaces, as a rule to root.
type connector struct {
	fd     int
	buffer []byte
	shift  int64 // what our monotonic clock is ahead of the machine's: not 0 in a time namespace
}

// eventBuffer is how many bytes of events the kernel may hold for us: about a kilobyte each.
const eventBuffer = 16 << 20

var (
	errNoEvents = errors.New("process events are not permitted")
	errDropped  = errors.New("the kernel has dropped process events")
)

// openConnector subscribes to process events.
func openConnector(bufferBytes int) (*connector, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_CONNECTOR)
	if err != nil {
		return nil, fmt.Errorf("open process connector: %w", err)
	}
	c := &connector{fd: fd, buffer: make([]byte, 4096)}
	if err = c.subscribe(bufferBytes); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *connector) subscribe(bufferBytes int) error {
	if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bufferBytes); err != nil {
		if err = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bufferBytes); err != nil {
			return fmt.Errorf("set event buffer: %w", err)
		}
	}
	filter := eventFilter()
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.SetsockoptSockFprog(c.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		return fmt.Errorf("filter events: %w", err)
	}
	const group = 1 // CN_IDX_PROC
	if err := unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: group}); err != nil {
		return fmt.Errorf("bind process connector: %w", err)
	}
	number := uint32(os.Getpid())<<8 ^ uint32(time.Now().UnixNano())
	if err := c.request(1, number); err != nil { // PROC_CN_MCAST_LISTEN
		return fmt.Errorf("ask for process events: %w", err)
	}
	return c.awaitAck(number)
}

// request sends one of the connector's operations.
func (c *connector) request(operation, number uint32) error {
	const length = offsetEvent + 4
	b := make([]byte, length)
	n := binary.NativeEndian
	n.PutUint32(b, length)
	n.PutUint16(b[4:], unix.NLMSG_DONE)
	n.PutUint32(b[16:], 1) // CN_IDX_PROC
	n.PutUint32(b[20:], 1) // CN_VAL_PROC
	n.PutUint32(b[offsetAck:], number)
	n.PutUint16(b[32:], 4) // length of the data
	n.PutUint32(b[offsetEvent:], operation)
	return unix.Sendto(c.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// awaitAck waits for the answer to our request. There is none where a namespace of ours is not the machine's. The kernel
// answers before the request returns.
func (c *connector) awaitAck(number uint32) error {
	for {
		e, err := c.receive()
		switch {
		case err == errDropped:
		case err == unix.EAGAIN:
			return errNoEvents
		case err != nil:
			return fmt.Errorf("read process events: %w", err)
		case e.kind == eventAck && e.answer == number+1:
			if e.err != 0 {
				return errNoEvents
			}
			if d := nanoseconds(unix.CLOCK_MONOTONIC) - e.time; d < -int64(time.Second) || d > int64(time.Second) {
				c.shift = d
			}
			return nil
		}
	}
}

// receive takes the next event. The error is EAGAIN when there is none, and errDropped once after the kernel has dropped
// some.
func (c *connector) receive() (event, error) {
	for {
		n, from, err := unix.Recvfrom(c.fd, c.buffer, 0)
		switch err {
		case nil:
		case unix.EINTR:
			continue
		case unix.ENOBUFS:
			return event{}, errDropped
		default:
			return event{}, err
		}
		if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
			continue // not the kernel
		}
		if e, ok := parseEvent(c.buffer[:n]); ok {
			e.time += c.shift
			return e, nil
		}
	}
}

func (c *connector) close() {
	_ = c.request(2, 0) // PROC_CN_MCAST_IGNORE: kernels before 6.6 count listeners by it
	_ = unix.Close(c.fd)
}

// eventFilter is a program that passes what we use: of forks and names only those of whole processes.
func eventFilter() []unix.SockFilter {
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	// What is loaded is taken for big-endian.
	equal := func(kind eventKind, yes, no uint8) unix.SockFilter {
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], uint32(kind))
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: yes, Jf: no, K: binary.BigEndian.Uint32(b[:])}
	}
	toX := unix.SockFilter{Code: unix.BPF_MISC | unix.BPF_TAX}
	equalX := func(yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_X, Jt: yes, Jf: no}
	}
	result := func(bytes uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: bytes} }
	return []unix.SockFilter{
		load(offsetEvent),
		equal(eventFork, 4, 0),
		equal(eventComm, 7, 0),
		equal(eventExec, 10, 0),
		equal(eventExit, 9, 0),
		equal(eventAck, 8, 9),
		load(offsetData + 8), // a fork's thread
		toX,
		load(offsetData + 12), // its process
		equalX(4, 5),
		load(offsetData), // a name's thread
		toX,
		load(offsetData + 4),
		equalX(0, 1),
		result(1 << 16),
		result(0),
	}
}
