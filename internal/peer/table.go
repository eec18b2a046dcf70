package peer

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/netip"
	"strconv"
)

// scanTable looks for the socket at local, connected to remote, in /proc/net/tcp or tcp6. See proc_net_tcp(5): the fields of a
// row are its number, the two addresses, state, queues, timer, retransmits, uid, timeout and inode.
func scanTable(r io.Reader, local, remote netip.AddrPort) (o Owner, found bool, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := bytes.Fields(lines.Bytes())
		if len(fields) < 10 || parseAddress(fields[1]) != local || parseAddress(fields[2]) != remote {
			continue
		}
		uid, err := strconv.ParseUint(string(fields[7]), 10, 32)
		if err != nil {
			continue
		}
		inode, err := strconv.ParseUint(string(fields[9]), 10, 64)
		if err != nil {
			continue
		}
		return Owner{UID: int(uid), Inode: inode}, true, nil
	}
	return Owner{}, false, lines.Err()
}

// parseAddress reads 0100007F:1F90: words of 32 bits as the machine orders their bytes, and the port. It returns the zero value
// for anything else. IPv4 in IPv6 becomes IPv4.
func parseAddress(text []byte) netip.AddrPort {
	words, port, ok := bytes.Cut(text, []byte(":"))
	if !ok || len(words) != 8 && len(words) != 32 || len(port) != 4 {
		return netip.AddrPort{}
	}
	var ip [16]byte
	if _, err := hex.Decode(ip[:], words); err != nil {
		return netip.AddrPort{}
	}
	var p [2]byte
	if _, err := hex.Decode(p[:], port); err != nil {
		return netip.AddrPort{}
	}
	size := len(words) / 2
	for i := 0; i < size; i += 4 {
		binary.NativeEndian.PutUint32(ip[i:], binary.BigEndian.Uint32(ip[i:]))
	}
	addr, _ := netip.AddrFromSlice(ip[:size])
	return netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(p[:]))
}
