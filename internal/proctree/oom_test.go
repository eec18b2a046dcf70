package proctree

import (
	"fmt"
	"slices"
	"testing"
)

func TestOOMRecord(t *testing.T) {
	for record, want := range map[string]int{
		"6,1234,98765,-;Killed process 42 (a b) total-vm:1kB":                             42,
		"3,1234,98765,-;Out of memory: Killed process 42 (python3) total-vm:1kB":          42,
		"3,1,2,-;Memory cgroup out of memory: Killed process 42 (x) total-vm:1kB, UID:0":  42,
		"3,1,2,-;Memory cgroup out of memory: Killed process 42, UID 0, (x) total-vm:1kB": 42,
		"12,1,2,-;Out of memory: Killed process 42 (x)":                                   0, // a program's, not the kernel's
		"6,1,2,-;some driver: Killed process 42 (x)":                                      0,
		"6,1,2,-;Killed process -42 (x)":                                                  0,
		"6,1,2,-;Killed process x":                                                        0,
		";Killed process 42 (x)":                                                          0,
		"":                                                                                0,
	} {
		if pid, ok := parseOOMRecord([]byte(record)); ok != (want > 0) || ok && pid != want {
			t.Errorf("%q: %d, %v; want %d", record, pid, ok, want)
		}
	}
}

func TestOOMCounters(t *testing.T) {
	for membership, want := range map[string][]string{
		"0::/a/b\n": {"/sys/fs/cgroup/a/b/memory.events", "/sys/fs/cgroup/memory.events"},
		"0::/\n":    {"/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory.events"},
		"5:cpu,cpuacct:/x\n4:memory:/y:z\n": {
			"/sys/fs/cgroup/memory/y:z/memory.oom_control", "/sys/fs/cgroup/memory/memory.oom_control"},
		"0::/../outside\n": nil,
		"nonsense":         nil,
	} {
		if got := oomCounters(membership); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", membership, got, want)
		}
	}
}

func FuzzOOMRecord(f *testing.F) {
	f.Add([]byte("6,1,2,-;Killed process 42 (x)"), uint32(42), "x")
	f.Fuzz(func(t *testing.T, record []byte, pid uint32, name string) {
		if pid, ok := parseOOMRecord(record); ok && pid <= 0 {
			t.Errorf("pid %d from %q", pid, record)
		}
		made := fmt.Appendf(nil, "3,7,8,-;Out of memory: Killed process %d (%s) total-vm:1kB", pid, name)
		if got, ok := parseOOMRecord(made); ok != (pid > 0) || ok && got != int(pid) {
			t.Errorf("%d, %v; want %d", got, ok, pid)
		}
	})
}
