package proctree

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// poller waits for descriptors.
type poller struct {
	file *os.File // of an epoll instance; the Go runtime waits for it
	conn syscall.RawConn
	list [64]unix.EpollEvent

	woken atomic.Bool // wake was called since the last wait began
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	if err = unix.SetNonblock(fd, true); err != nil { // else the runtime would not wait for it
		_ = unix.Close(fd)
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	p := &poller{file: os.NewFile(uintptr(fd), "epoll")}
	if p.conn, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	return p, nil
}

// control adds, changes or removes a descriptor.
func (p *poller) control(operation, fd int, events uint32) error {
	var err error
	controlErr := p.conn.Control(func(epoll uintptr) {
		err = unix.EpollCtl(int(epoll), operation, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
	})
	if controlErr != nil {
		return controlErr
	}
	return err
}

// wait returns what is ready, after d at the latest, or when wake is called. What it returns is good until the next call.
func (p *poller) wait(d time.Duration) []unix.EpollEvent {
	if d <= 0 {
		return p.pending()
	}
	n := 0
	_ = p.file.SetReadDeadline(time.Now().Add(d))
	if p.woken.Swap(false) {
		return nil
	}
	_ = p.conn.Read(func(epoll uintptr) bool {
		n, _ = unix.EpollWait(int(epoll), p.list[:], 0)
		return n > 0
	})
	return p.list[:max(n, 0)]
}

// pending is what is ready now.
func (p *poller) pending() []unix.EpollEvent {
	n := 0
	_ = p.conn.Control(func(epoll uintptr) { n, _ = unix.EpollWait(int(epoll), p.list[:], 0) })
	return p.list[:max(n, 0)]
}

// wake ends a wait, or the next one.
func (p *poller) wake() {
	p.woken.Store(true)
	_ = p.file.SetReadDeadline(time.Unix(1, 0))
}

func (p *poller) close() { p.file.Close() }
