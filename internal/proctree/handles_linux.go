package proctree

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// handles are descriptors of processes, which tell of their ends at once. They are needed where there are no events.
type handles struct {
	nodes map[int]*node // by descriptor
	limit int           // how many we allow ourselves; 0 until it is known
}

// maxHandles is how many processes are held, as far as our limit of descriptors allows: we take a quarter of that.
const maxHandles = 8192

// handle makes the end of a process known to us at once, where that is possible. The caller holds w.mu.
func (w *Watcher) handle(n *node) {
	if w.connector != nil || w.options.proc != "" {
		return
	}
	h := &w.handles
	if h.limit == 0 {
		h.nodes, h.limit = map[int]*node{}, maxHandles
		var limit unix.Rlimit
		if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
			h.limit = int(min(limit.Cur/4, maxHandles))
		}
	}
	if len(h.nodes) >= h.limit {
		return
	}
	fd, err := unix.PidfdOpen(n.PID, 0)
	if err != nil {
		return
	}
	if err := w.poller.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN); err != nil {
		_ = unix.Close(fd)
		return
	}
	h.nodes[fd], n.held = n, true
}

// release closes a handle.
func (h *handles) release(fd int) {
	if n := h.nodes[fd]; n != nil {
		n.held = false
		delete(h.nodes, fd)
		_ = unix.Close(fd) // which takes it out of the epoll instance
	}
}

func (h *handles) close() {
	for fd := range h.nodes {
		h.release(fd)
	}
}

// handleReady deals with the end of a process that is held.
func (w *Watcher) handleReady(fd int) {
	at := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.handles.nodes[fd]
	if n == nil {
		return
	}
	if parent := w.tree.byPID[n.Parent.PID]; parent != nil && parent.alive() {
		w.watchClosely(parent, readClocks()) // a shell mostly runs its last command in its own place
	}
	s, err := w.proc.stat(n.PID)
	if err != nil || !n.is(s.start) { // it has been reaped
		if status, ok := exitInfo(fd); ok && !n.Exited {
			w.endOnce(n, status, at)
		} else if n.alive() {
			w.tree.end(n, at)
		}
		w.handles.release(fd)
		return
	}
	if n.alive() {
		n.measure(s)
	}
	if s.status != 0 || n.readable {
		w.endOnce(n, s.status, at)
		w.handles.release(fd)
		return
	}
	if n.alive() {
		w.tree.end(n, at)
	}
	// How it ended may be ours to know when it is reaped, of which a hang-up tells.
	_ = w.poller.control(unix.EPOLL_CTL_MOD, fd, 0)
}

// endOnce takes note of an end with its status, at the time that was found first.
func (w *Watcher) endOnce(n *node, status int, at time.Time) {
	if !n.alive() {
		at = n.Ended
	}
	w.endWith(n, status, at)
}

// exitInfo asks the kernel how a process ended that has been reaped: Linux 6.15 and later tell (linux/pidfd.h).
func exitInfo(fd int) (status int, ok bool) {
	const exit = 1 << 3 // PIDFD_INFO_EXIT
	info := struct {
		mask   uint64
		cgroup uint64
		ids    [11]uint32
		exit   int32
	}{mask: exit}
	const direction, kind, number = 3, 0xFF, 11 // PIDFD_GET_INFO
	request := uintptr(direction<<30 | unsafe.Sizeof(info)<<16 | kind<<8 | number)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&info)))
	return int(info.exit), errno == 0 && info.mask&exit != 0
}
