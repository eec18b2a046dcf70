package peer

import (
	"bufio"
	"bytes"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// Holder returns a process that listens at a port of an address, or of all addresses, and its name, where we may know.
func Holder(address netip.AddrPort) (pid int, name string, ok bool) {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		inode := listenerInode(table, address)
		if inode == 0 {
			continue
		}
		if pid, ok := (Owner{Inode: inode}).holder(allProcesses()); ok {
			comm, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
			return pid, strings.TrimSpace(string(comm)), true
		}
	}
	return 0, "", false
}

// stateListen is TCP_LISTEN of linux/tcp_states.h.
const stateListen = "0A"

func listenerInode(table string, address netip.AddrPort) uint64 {
	f, err := os.Open(table)
	if err != nil {
		return 0
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := bytes.Fields(lines.Bytes())
		if len(fields) < 10 || string(fields[3]) != stateListen {
			continue
		}
		at := parseAddress(fields[1])
		if at.Port() != address.Port() ||
			at.Addr() != address.Addr().Unmap() && !at.Addr().IsUnspecified() && !address.Addr().IsUnspecified() {
			continue
		}
		if inode, err := strconv.ParseUint(string(fields[9]), 10, 64); err == nil {
			return inode
		}
	}
	return 0
}
