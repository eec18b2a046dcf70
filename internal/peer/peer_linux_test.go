package peer

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// dialVariable makes the test binary a client of that address, as the user of userVariable.
const (
	dialVariable = "PEER_TEST_DIAL"
	userVariable = "PEER_TEST_USER"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(dialVariable); address != "" {
		os.Exit(dialAs(address, os.Getenv(userVariable)))
	}
	os.Exit(m.Run())
}

// dialAs connects as another user, says so, and stays until its standard input ends.
func dialAs(address, user string) int {
	if uid, err := strconv.Atoi(user); err != nil || uid != os.Getuid() && syscall.Setuid(uid) != nil {
		return 1
	}
	c, err := net.Dial("tcp", address)
	if err != nil {
		return 1
	}
	defer c.Close()
	os.Stdout.WriteString("connected\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// users are ours and, where we may become it, nobody.
func users() []int {
	if os.Getuid() == 0 {
		return []int{0, 65534}
	}
	return []int{os.Getuid()}
}

// client is a process that has connected to us.
func client(t *testing.T, address string, uid int) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), dialVariable+"="+address, userVariable+"="+strconv.Itoa(uid))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(line, err)
	}
	return cmd
}

func TestFind(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0", "[::]:0"} {
		l, err := net.Listen("tcp", listen)
		if err != nil {
			t.Logf("listen at %s: %v", listen, err) // a machine without IPv6
			continue
		}
		defer l.Close()
		address := strings.Replace(l.Addr().String(), "[::]", "127.0.0.1", 1)
		for _, uid := range users() {
			t.Run(listen+"/"+strconv.Itoa(uid), func(t *testing.T) {
				cmd := client(t, address, uid)
				c, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				local, remote := c.LocalAddr(), c.RemoteAddr()
				if got, ok := UID(local, remote); !ok || got != uid {
					t.Errorf("UID: %d, %v", got, ok)
				}
				if got, ok := PID(local, remote); !ok || got != cmd.Process.Pid {
					t.Errorf("PID: %d, %v; want %d", got, ok, cmd.Process.Pid)
				}
				if got, ok := PIDAmong(local, remote, []int{os.Getpid(), cmd.Process.Pid}); !ok || got != cmd.Process.Pid {
					t.Errorf("PIDAmong: %d, %v; want %d", got, ok, cmd.Process.Pid)
				}
				if got, ok := PIDAmong(local, remote, []int{os.Getpid(), 1 << 30}); ok {
					t.Errorf("PIDAmong others: %d", got)
				}
				fromTable, err := readTables(addrPort(remote), addrPort(local))
				if asked, err2 := Find(local, remote); err != nil || err2 != nil || fromTable != asked {
					t.Errorf("tables of /proc: %v, %v; netlink: %v, %v", fromTable, err, asked, err2)
				}
			})
		}
	}
}

// A socket that its process has closed says nothing of a user, least of all that it is root's.
func TestFindGone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if o, err := Find(c.LocalAddr(), c.RemoteAddr()); err != nil || o.UID != os.Getuid() {
		t.Errorf("open: %v, %v", o, err)
	}
	if err := out.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if o, err := Find(c.LocalAddr(), c.RemoteAddr()); err != nil || o.UID != os.Getuid() {
		t.Errorf("half closed: %v, %v", o, err)
	}
	out.Close()
	if o, err := Find(c.LocalAddr(), c.RemoteAddr()); !errors.Is(err, ErrGone) {
		t.Errorf("closed: %v, %v", o, err)
	}
	nowhere := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	if o, err := Find(l.Addr(), nowhere); !errors.Is(err, ErrGone) {
		t.Errorf("no such connection: %v, %v", o, err)
	}
	if o, err := Find(nowhere, l.Addr()); !errors.Is(err, ErrGone) {
		t.Errorf("a listener: %v, %v", o, err)
	}
	if o, err := Find(&net.UnixAddr{}, nowhere); !errors.Is(err, ErrUnknown) {
		t.Errorf("no TCP: %v, %v", o, err)
	}
}

func BenchmarkFind(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	c, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for b.Loop() {
		if _, err := Find(c.LocalAddr(), c.RemoteAddr()); err != nil {
			b.Fatal(err)
		}
	}
}
