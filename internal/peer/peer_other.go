//go:build !linux

package peer

import "net/netip"

func find(_, _ netip.AddrPort) (Owner, error) { return Owner{}, ErrUnknown }

func allProcesses() []int { return nil }

func (o Owner) holder([]int) (pid int, ok bool) { return 0, false }

// Holder returns a process that listens at a port: none on this system.
func Holder(netip.AddrPort) (pid int, name string, ok bool) { return 0, "", false }
