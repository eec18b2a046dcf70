package cli

import (
	"net"
	"os"
)

// notifySystemd tells the service manager how we are, where there is one: see sd_notify(3).
func notifySystemd(state string) {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return
	}
	if address[0] == '@' {
		address = "\x00" + address[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		return // nobody listens; there is nobody to tell
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(state))
}
