package peer

import (
	"bytes"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// row writes a row as the kernel does.
func row(n int, local, remote netip.AddrPort, uid, inode uint64) string {
	return fmt.Sprintf("%4d: %s %s 01 00000000:00000000 00:00000000 00000000 %5d        0 %d 1 0000000000000000 20 4 30 10 -1\n",
		n, kernelAddress(local), kernelAddress(remote), uid, inode)
}

func kernelAddress(a netip.AddrPort) string {
	var b strings.Builder
	for ip := a.Addr().AsSlice(); len(ip) > 0; ip = ip[4:] {
		fmt.Fprintf(&b, "%02X%02X%02X%02X", ip[3], ip[2], ip[1], ip[0])
	}
	fmt.Fprintf(&b, ":%04X", a.Port())
	return b.String()
}

func TestScanTable(t *testing.T) {
	const header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	a, b := netip.MustParseAddrPort("127.0.0.1:4317"), netip.MustParseAddrPort("127.0.0.1:54321")
	six, seven := netip.MustParseAddrPort("[::1]:4317"), netip.MustParseAddrPort("[fe80::1:2]:54321")
	mapped := netip.MustParseAddrPort("[::ffff:127.0.0.1]:54321")
	for _, test := range []struct {
		name          string
		table         string
		local, remote netip.AddrPort
		want          Owner // zero for none
	}{
		{"one of two", header + row(0, a, b, 1, 11) + row(1, b, a, 2, 22), b, a, Owner{2, 22}},
		{"IPv6", header + row(0, six, seven, 1000, 4294967295), six, seven, Owner{1000, 4294967295}},
		{"IPv4 in IPv6", header + row(0, mapped, netip.MustParseAddrPort("[::ffff:127.0.0.1]:4317"), 3, 33), b, a, Owner{3, 33}},
		{"as the kernel wrote it", header + "   0: 0100007F:D431 0100007F:10DD 01 00000000:00000000 00:00000000 00000000  1000        0 31337 1 " +
			"00000000a2f1b1c4 20 4 30 10 -1", b, a, Owner{1000, 31337}},
		{"closed", header + row(0, b, a, 0, 0), b, a, Owner{}},
		{"none", header + row(0, a, b, 1, 11), b, six, Owner{}},
		{"empty", "", a, b, Owner{}},
		{"cut short", header + row(0, a, b, 1, 11)[:90], a, b, Owner{}},
		{"no number", header + strings.Replace(row(0, a, b, 1, 11), " 11 ", " x ", 1), a, b, Owner{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, found, err := scanTable(strings.NewReader(test.table), test.local, test.remote)
			if err != nil || got != test.want || found != (test.want != Owner{} || test.name == "closed") {
				t.Errorf("got %v, %v, %v", got, found, err)
			}
		})
	}
}

// rowPattern is a second reading of the tables, which the parser must agree with.
var rowPattern = regexp.MustCompile(`(?i)^\s*\S+\s+((?:[0-9A-F]{8}){1,4}:[0-9A-F]{4})\s+((?:[0-9A-F]{8}){1,4}:[0-9A-F]{4})` +
	`\s+\S+\s+\S+\s+\S+\s+\S+\s+(\d+)\s+\S+\s+(\d+)(?:\s|$)`)

func FuzzScanTable(f *testing.F) {
	a, b := netip.MustParseAddrPort("127.0.0.1:4317"), netip.MustParseAddrPort("127.0.0.1:54321")
	six := netip.MustParseAddrPort("[::1]:4317")
	f.Add([]byte(row(0, a, b, 1, 11)), []byte{127, 0, 0, 1, 16, 221}, []byte{127, 0, 0, 1, 212, 49})
	f.Add([]byte(row(0, six, six, 1, 11)+row(1, a, b, 0, 0)), append(six.Addr().AsSlice(), 16, 221), append(six.Addr().AsSlice(), 16, 221))
	f.Fuzz(func(t *testing.T, table, l, r []byte) {
		local, remote := fuzzAddress(l), fuzzAddress(r)
		if !local.IsValid() || !remote.IsValid() || bytes.ContainsFunc(table, func(r rune) bool { return r > 126 || r == '\v' || r == '\f' }) {
			return
		}
		got, found, err := scanTable(bytes.NewReader(table), local, remote)
		if err != nil {
			return // a line without end
		}
		for line := range strings.Lines(string(table)) {
			m := rowPattern.FindStringSubmatch(line)
			if m == nil || !sameAddress(m[1], local) || !sameAddress(m[2], remote) {
				continue
			}
			uid, err := strconv.ParseUint(m[3], 10, 32)
			inode, err2 := strconv.ParseUint(m[4], 10, 64)
			if err != nil || err2 != nil {
				continue
			}
			if !found || got != (Owner{int(uid), inode}) {
				t.Fatalf("got %v, %v; want the row %q", got, found, line)
			}
			return
		}
		if found {
			t.Fatalf("found %v in %q", got, table)
		}
	})
}

func fuzzAddress(b []byte) netip.AddrPort {
	if len(b) < 2 {
		return netip.AddrPort{}
	}
	addr, ok := netip.AddrFromSlice(b[:len(b)-2])
	if !ok {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(b[len(b)-2])<<8|uint16(b[len(b)-1]))
}

// sameAddress compares by writing, where the parser reads.
func sameAddress(text string, a netip.AddrPort) bool {
	if strings.EqualFold(text, kernelAddress(a)) {
		return true
	}
	return a.Addr().Is4() && strings.EqualFold(text, kernelAddress(netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())))
}
