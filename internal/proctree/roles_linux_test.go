package proctree

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	roles["clock"] = clockRole
	roles["threads"] = threadsRole
	roles["leaderless"] = leaderlessRole
	roles["threadExec"] = threadExecRole
	roles["named"] = namedRole
	roles["greedy"] = greedyRole
	if os.Getenv(roleVariable) == "leaderless" {
		runtime.LockOSThread() // so that main runs on the first thread
	}
}

// clockRole tells when it was started by its own clock, at the latest, and what the kernel says of its start.
func clockRole([]string) {
	now := time.Now()
	s, err := newProcfs("").stat(os.Getpid())
	if err != nil {
		panic(err)
	}
	fmt.Println(os.Getpid(), s.start, now.UnixNano())
	os.Stdout.Close()
	io.Copy(io.Discard, os.Stdin)
}

// threadsRole has many threads, with names of processes.
func threadsRole([]string) {
	const count = 40
	ready, end := make(chan bool), make(chan bool)
	for range count {
		go func() {
			runtime.LockOSThread()
			setName("worker (sh) S 1")
			ready <- true
			<-end
		}()
	}
	for range count {
		<-ready
	}
	settle()
}

// stop waits until the watcher has seen us, and what we have used.
func stop() { _ = unix.Kill(os.Getpid(), unix.SIGSTOP) }

// settle gives the watcher something to see: it lives until it has been looked at a few times.
func settle() { time.Sleep(150 * time.Millisecond) }

func setName(name string) {
	b, _ := unix.BytePtrFromString(name)
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(b)), 0, 0, 0)
}

// leaderlessRole goes on without its first thread and exits with 9 later.
func leaderlessRole([]string) {
	go func() {
		for {
			if s, err := newProcfs("").stat(os.Getpid()); err == nil && s.zombie() {
				break
			}
			time.Sleep(time.Millisecond)
		}
		settle()
		fmt.Println(time.Now().UnixNano())
		os.Exit(9)
	}()
	settle()
	syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0)
}

// threadExecRole runs another program from a thread that is not the first.
func threadExecRole([]string) {
	done := make(chan error)
	for {
		go func() {
			runtime.LockOSThread()
			if unix.Gettid() == os.Getpid() {
				done <- nil
				select {}
			}
			done <- syscall.Exec("/bin/sh", []string{"sh", "-c", "sleep 0.31; exit 6"}, os.Environ())
		}()
		if err := <-done; err != nil {
			panic(err)
		}
	}
}

// namedRole gives itself the name of its argument. The watched command has it as its child.
func namedRole(args []string) {
	runtime.LockOSThread()
	name, err := strconv.Unquote(args[0])
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile("/proc/self/comm", []byte(name), 0); err != nil {
		panic(err)
	}
	stop()
}

// greedyRole takes memory and CPU time.
func greedyRole([]string) {
	b := make([]byte, 80<<20)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	for begun := ownCPU(); ownCPU()-begun < 200*time.Millisecond; {
	}
	stop()
	runtime.KeepAlive(b)
}

// clocks of a process as clockRole tells them.
type ownClock struct {
	id ID
	at time.Time
}

func parseClocks(out string) []ownClock {
	var list []ownClock
	for line := range strings.Lines(out) {
		var c ownClock
		var nanos int64
		if n, _ := fmt.Sscan(line, &c.id.PID, &c.id.Start, &nanos); n == 3 {
			c.at = time.Unix(0, nanos)
			list = append(list, c)
		}
	}
	return list
}

func init() {
	roles["container"] = func(args []string) { // mounts the /proc of its namespace and becomes a watcher
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			panic(err)
		}
		if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
			panic(err)
		}
		watchRole(args)
	}
	roles["reuse"] = func([]string) { // starts a child with the pid that one before had
		stdin := bufio.NewReader(os.Stdin)
		_ = stdin
		var first int
		for i, script := range []string{"sleep 0.21", "sleep 0.22"} {
			if i > 0 {
				if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(first-1)), 0); err != nil {
					panic(err)
				}
			}
			pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", "exec " + script}, &syscall.ProcAttr{Env: os.Environ()})
			if err != nil {
				panic(err)
			}
			if first == 0 {
				first = pid
			}
			if pid != first {
				fmt.Println("not the same pid")
			}
			var status syscall.WaitStatus
			for {
				if _, err := syscall.Wait4(pid, &status, 0, nil); err != syscall.EINTR {
					break
				}
			}
		}
		_ = json.NewEncoder(os.Stdout).Encode(first)
	}
}
