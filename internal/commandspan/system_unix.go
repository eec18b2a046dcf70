//go:build unix

package commandspan

import (
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	pathSeparators   = "/"
	executableSuffix = ""
)

// SignalName is the signal's name, such as SIGTERM.
func SignalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return "signal " + strconv.Itoa(int(sig))
}
