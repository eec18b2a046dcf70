package forkspantest

import (
	"net"
	"sync"
	"testing"
)

// BlackHole listens on loopback until the test ends, accepts every connection and never reads or writes a byte: not even a
// TLS or HTTP/2 handshake gets an answer. It returns the address as host:port.
func BlackHole(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen on loopback: %v", err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		var held []net.Conn
		for {
			conn, err := listener.Accept()
			if err != nil {
				break
			}
			held = append(held, conn)
		}
		for _, conn := range held {
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		accepting.Wait()
	})
	return listener.Addr().String()
}
