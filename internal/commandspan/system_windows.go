package commandspan

import (
	"strconv"
	"syscall"
)

const (
	pathSeparators   = `/\`
	executableSuffix = ".exe"
)

// SignalName is the signal's number: Windows has no signals of its own.
func SignalName(sig syscall.Signal) string { return "signal " + strconv.Itoa(int(sig)) }
