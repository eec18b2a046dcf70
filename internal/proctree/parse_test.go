package proctree

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// statLine writes what the kernel writes.
func statLine(s stat) string {
	return fmt.Sprintf("%d (%s) %c %d %d %d 0 -1 4194304 101 0 0 0 %d %d %d %d 20 0 %d 0 %d 8192 100 18446744073709551615 1 1 %d "+
		"0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 1 1 1 1 1 1 1 %d\n",
		s.pid, s.comm, s.state, s.parent, s.group, s.session, s.user, s.system, s.childUser, s.childSystem, s.threads, s.start,
		s.stack, s.status)
}

func FuzzStatOfKernel(f *testing.F) {
	f.Add("sh", uint8('S'), uint32(1), uint32(2), uint64(3), uint64(4), uint16(5))
	f.Add("a) R 1 2 3 (", uint8('Z'), uint32(7), uint32(0), uint64(1<<63), uint64(1<<64-1), uint16(0x8b))
	f.Add("\n) Z 0\n)", uint8('t'), uint32(1<<22), uint32(1<<22), uint64(0), uint64(0), uint16(0xff00))
	f.Add("", uint8('R'), uint32(0), uint32(0), uint64(0), uint64(0), uint16(0))
	f.Fuzz(func(t *testing.T, comm string, state uint8, pid, parent uint32, start, stack uint64, status uint16) {
		state = 'A' + state%58
		want := stat{pid: int(pid >> 2), comm: comm, state: state, parent: int(parent >> 2), group: int(parent >> 3), session: 12,
			user: start, system: stack, childUser: start / 2, childSystem: stack / 3, threads: int(status), start: start,
			stack: stack, status: int(status)}
		got, err := parseStat([]byte(statLine(want)))
		if err != nil || got != want {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	})
}

func FuzzStat(f *testing.F) {
	f.Add([]byte("1 (init) S 0 1"))
	f.Add([]byte(statLine(stat{pid: 9, comm: ") (", state: 'S', threads: 1})))
	f.Add([]byte("1 )("))
	f.Fuzz(func(t *testing.T, line []byte) {
		s, err := parseStat(line)
		if err != nil {
			return
		}
		// What was read says the same when it is written.
		if again, err := parseStat([]byte(statLine(s))); err != nil || again != s {
			t.Errorf("%+v, %v; want %+v", again, err, s)
		}
	})
}

// A kernel older than the last fields, and what is no such line.
func TestStatOfOldKernel(t *testing.T) {
	line := strings.Join(strings.Fields(statLine(stat{pid: 3, comm: "x", state: 'Z', start: 77, status: 9}))[:44], " ")
	if s, err := parseStat([]byte(line)); err != nil || s.start != 77 || s.status != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	for _, line := range []string{"", "1", "1 (a", "1 (a)", "1 (a) S", "x (a) S 1", "1 (a) SS 1"} {
		if s, err := parseStat([]byte(line)); err == nil {
			t.Errorf("%q was read as %+v", line, s)
		}
	}
}

func FuzzStatus(f *testing.F) {
	f.Add([]byte("Name:\tsh\nTgid:\t12\nVmPeak:\t  9 kB\nVmHWM:\t    1024 kB\n"), uint32(5), uint32(77))
	f.Add([]byte("Name:\tTgid: 4\nTgid:\t99999999999999999999\nVmHWM: kB"), uint32(0), uint32(0))
	f.Fuzz(func(t *testing.T, content []byte, pid, kib uint32) {
		parseStatus(content)
		name := strings.NewReplacer("\n", `\n`, `\`, `\\`).Replace(string(content)) // as the kernel writes it
		made := fmt.Sprintf("Name:\t%s\nUmask:\t0022\nTgid:\t%d\nPid:\t%d\nVmHWM:\t%8d kB\n", name, pid, pid, kib)
		if process, peak := parseStatus([]byte(made)); process != int(pid) || peak != int64(kib)<<10 {
			t.Errorf("%d, %d; want %d, %d KiB", process, peak, pid, kib)
		}
	})
}

func FuzzCmdline(f *testing.F) {
	f.Add("sh", "-c", "exit 3")
	f.Add("a", "", "b")
	f.Add("\n", "\xff", " ")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		parseCmdline([]byte(a + b + c))
		args := []string{a, b, c}
		if strings.Contains(a+b+c, "\x00") || a == "" || c == "" {
			return // no arguments, or what could be a blanked title
		}
		if got := parseCmdline([]byte(strings.Join(args, "\x00") + "\x00")); !slices.Equal(got, args) {
			t.Errorf("%q, want %q", got, args)
		}
	})
}

func TestCmdline(t *testing.T) {
	for content, want := range map[string][]string{
		"":                                  nil,
		"sh\x00":                            {"sh"},
		"sh":                                {"sh"}, // cut short
		"sh\x00\x00":                        {"sh", ""},
		"nginx: master process\x00\x00\x00": {"nginx: master process"},
		"sshd: root":                        {"sshd: root"},
		"\x00":                              {""},
	} {
		if got := parseCmdline([]byte(content)); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", content, got, want)
		}
	}
}

func FuzzCounters(f *testing.F) {
	f.Add([]byte("0.00 0.01 0.05 1/123 4567\n"), int32(4567))
	f.Add([]byte("cpu 1 2\nprocesses 12\n"), int32(1))
	f.Fuzz(func(t *testing.T, content []byte, n int32) {
		parseForks(content)
		parseOOMKills(content)
		if pid, ok := parseLastPID(content); ok && pid <= 0 {
			t.Errorf("pid %d from %q", pid, content)
		}
		n &= 1<<31 - 1
		if pid, ok := parseLastPID(fmt.Appendf(nil, "0.1 0.2 0.3 4/5 %d\n", n)); ok != (n > 0) || ok && pid != int(n) {
			t.Errorf("pid %d, %v, want %d", pid, ok, n)
		}
		if got, ok := parseForks(fmt.Appendf(nil, "intr 1 2 3\nprocesses %d\nprocs_running 1\n", n)); !ok || got != int64(n) {
			t.Errorf("forks %d, %v, want %d", got, ok, n)
		}
		if got, ok := parseOOMKills(fmt.Appendf(nil, "low 0\noom 7\noom_kill %d\noom_group_kill 3\n", n)); !ok || got != int64(n) {
			t.Errorf("kills %d, %v, want %d", got, ok, n)
		}
	})
}

// message is a process event as the kernel sends it.
func message(kind eventKind, at int64, data ...uint32) []byte {
	b := make([]byte, offsetData+24)
	put := binary.NativeEndian.PutUint32
	put(b[16:], 1)
	put(b[20:], 1)
	put(b[offsetEvent:], uint32(kind))
	binary.NativeEndian.PutUint64(b[offsetEvent+8:], uint64(at))
	for i, word := range data {
		put(b[offsetData+4*i:], word)
	}
	return b
}

func TestEvents(t *testing.T) {
	for _, test := range []struct {
		message []byte
		want    event
	}{
		{message(eventFork, 5, 11, 10, 21, 20), event{kind: eventFork, time: 5, parent: 10, thread: 21, process: 20}},
		{message(eventExec, 6, 20, 20), event{kind: eventExec, time: 6, thread: 20, process: 20}},
		{message(eventExit, 7, 21, 20, 0x300, 17), event{kind: eventExit, time: 7, thread: 21, process: 20, status: 0x300}},
		{message(eventComm, 8, 20, 20, 0, 0, 0, 0), event{kind: eventComm, time: 8, thread: 20, process: 20}},
	} {
		if got, ok := parseEvent(test.message); !ok || got != test.want {
			t.Errorf("%+v, %v; want %+v", got, ok, test.want)
		}
	}
	named := message(eventComm, 8, 20, 20)
	copy(named[offsetData+8:], "full sixteen b..")
	if e, ok := parseEvent(named); !ok || e.comm != "full sixteen b.." {
		t.Errorf("%+v, %v", e, ok)
	}
}

func FuzzEvent(f *testing.F) {
	f.Add(message(eventFork, 5, 11, 10, 21, 20))
	f.Add(message(eventComm, 5, 11, 10))
	f.Add(message(eventAck, 5)[:offsetData+8])
	f.Fuzz(func(t *testing.T, b []byte) {
		e, ok := parseEvent(b)
		if ok && (e.process < 0 || e.parent < 0 || len(e.comm) > 16) {
			t.Errorf("%+v", e)
		}
	})
}
