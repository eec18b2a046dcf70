//go:build unix

package receive_test

import "syscall"

func become(uid int) error { return syscall.Setuid(uid) }
