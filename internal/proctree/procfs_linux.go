package proctree

import (
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"forkspan.dev/forkspan/internal/ownproc"
)

// procfs is a mounted proc file system. It is used by one goroutine at a time.
type procfs struct {
	root    string
	ours    bool // it is about the processes that we know; else nothing of it is read
	buffer  []byte
	loadavg int // descriptor; -1 until it is asked for
}

// maxCmdline is how many bytes of a command line are kept.
const maxCmdline = 16 << 10

func newProcfs(root string) *procfs {
	if root == "" {
		root = "/proc"
	}
	p := &procfs{root: root, buffer: make([]byte, maxCmdline), loadavg: -1}
	if p.ours = root == "/proc" && ownproc.Usual() || root != "/proc" && ownproc.Mounted(root); !p.ours {
		p.root = os.DevNull // there are no files below it
	}
	return p
}

func (p *procfs) close() {
	if p.loadavg >= 0 {
		_ = unix.Close(p.loadavg)
	}
}

// read reads the head of a file, as far as the buffer goes. What it returns is good until the next read.
func (p *procfs) read(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	n := 0
	for n < len(p.buffer) {
		m, err := unix.Read(fd, p.buffer[n:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if m == 0 {
			break
		}
		n += m
	}
	return p.buffer[:n], nil
}

func (p *procfs) path(pid int, name string) string {
	return p.root + "/" + strconv.Itoa(pid) + "/" + name
}

// stat is an error for a process that is gone.
func (p *procfs) stat(pid int) (stat, error) {
	content, err := p.read(p.path(pid, "stat"))
	if err != nil {
		return stat{}, err
	}
	return parseStat(content)
}

// status tells which process a thread is of and its peak memory: both 0 when it is gone.
func (p *procfs) status(pid int) (process int, peak int64) {
	content, err := p.read(p.path(pid, "status"))
	if err != nil {
		return 0, 0
	}
	return parseStatus(content)
}

// args is nil for a process that is gone, has no memory any more or may not be read.
func (p *procfs) args(pid int) []string {
	content, err := p.read(p.path(pid, "cmdline"))
	if err != nil {
		return nil
	}
	return parseCmdline(content)
}

// pids lists the processes.
func (p *procfs) pids() []int {
	dir, err := os.Open(p.root)
	if err != nil {
		return nil
	}
	defer dir.Close()
	var list []int
	for {
		names, err := dir.Readdirnames(1024)
		for _, name := range names {
			if pid, err := strconv.Atoi(name); err == nil && pid > 0 {
				list = append(list, pid)
			}
		}
		if err != nil {
			return list
		}
	}
}

// lastPID is the pid that was given last in our pid namespace.
func (p *procfs) lastPID() (int, bool) {
	if p.loadavg < 0 {
		fd, err := unix.Open(p.root+"/loadavg", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return 0, false
		}
		p.loadavg = fd
	}
	n, err := unix.Pread(p.loadavg, p.buffer, 0)
	if err != nil {
		return 0, false
	}
	return parseLastPID(p.buffer[:n])
}

// maxPID is one more than the largest pid.
func (p *procfs) maxPID() int {
	content, err := p.read(p.root + "/sys/kernel/pid_max")
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return 0
	}
	return n
}

// forks is how many processes and threads have been started since boot.
func forks(root string) (int64, bool) {
	f, err := os.Open(root + "/stat")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return 0, false
	}
	return parseForks(content)
}
