package supervise

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// lastSignal is the last real-time signal.
const lastSignal = syscall.Signal(64)

// reserved tells whether the Go runtime keeps sig to itself: libc's three internal signals, and the profiler's.
func reserved(sig syscall.Signal) bool {
	return sig >= 32 && sig <= 34 || sig == unix.SIGPROF
}

// sigaction is the kernel's struct on the little-endian 64-bit systems we build for.
type sigaction struct {
	handler  uintptr // 0 default, 1 ignore
	flags    uint64
	restorer uintptr
	mask     uint64
}

const handlerIgnore = 1

// setSigaction is rt_sigaction(2). It goes past the Go runtime, whose idea of a default differs from the system's: a
// traceback for QUIT, nothing for TSTP.
func setSigaction(sig syscall.Signal, action, old *sigaction) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(action)),
		uintptr(unsafe.Pointer(old)), unsafe.Sizeof(uint64(0)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// ignored tells whether sig was ignored when we were started.
func ignored(sig syscall.Signal) bool {
	var now sigaction
	return signal.Ignored(sig) || setSigaction(sig, nil, &now) == nil && now.handler == handlerIgnore
}

// stopSelf stops this process as sig does by default and returns when it has been continued. It tells whether it stopped,
// as far as we know: for a signal of the terminal the kernel stops no process group without a shell to continue it.
func stopSelf(sig syscall.Signal) bool {
	if os.Getpid() == 1 || sig == unix.SIGSTOP && foreground() == 0 {
		return false // without job control nobody would see us stop and wake us
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var byDefault, before sigaction
	if sig != unix.SIGSTOP {
		if setSigaction(sig, &byDefault, &before) != nil {
			return false
		}
		defer setSigaction(sig, &before, nil)
	}
	raise(sig)
	return true
}

// raise sends sig to the calling thread, which takes it at once.
func raise(sig syscall.Signal) {
	set := unix.Sigset_t{}
	set.Val[(sig-1)/64] = 1 << ((sig - 1) % 64)
	_ = unix.PthreadSigmask(unix.SIG_UNBLOCK, &set, nil)
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), sig)
}

// endBySignal ends this process by sig, without a core and without a word. It returns where the kernel does not let
// it: as PID 1, or for a signal that ends nothing.
func endBySignal(sig syscall.Signal) {
	if os.Getpid() == 1 {
		return
	}
	// The first is for a core file, the second for a core_pattern that is a program.
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if sig != unix.SIGKILL {
		if setSigaction(sig, &sigaction{}, nil) != nil {
			return
		}
	}
	raise(sig)
}
