package proctree

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc/PID/stat: USER_HZ is 100 on every architecture that Go has.
const tick = time.Second / 100

// stat is what is used of /proc/PID/stat.
type stat struct {
	pid     int
	comm    string
	state   byte
	parent  int
	group   int // process group
	session int
	// CPU time of the process, and of its children that were waited for, in ticks.
	user, system, childUser, childSystem uint64
	threads                              int
	start                                uint64 // ticks since boot
	stack                                uint64 // where its stack begins; 0 or 1 when we may not know
	status                               int    // as wait gives it; 0 when it lives or we may not know
}

func (s *stat) zombie() bool { return s.state == 'Z' || s.state == 'X' }

var errStat = errors.New("not a line of /proc/PID/stat")

// parseStat reads a line of /proc/PID/stat (proc_pid_stat(5)). The name is in parentheses and may contain anything.
func parseStat(line []byte) (stat, error) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return stat{}, errStat
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(line[:open])))
	if err != nil {
		return stat{}, errStat
	}
	s := stat{pid: pid, comm: string(line[open+1 : end])}
	var fields [53]string // by their numbers in the manual
	n := 3
	for field := range bytes.FieldsSeq(line[end+1:]) {
		if n == len(fields) {
			break
		}
		fields[n] = string(field)
		n++
	}
	if n < 29 || len(fields[3]) != 1 {
		return stat{}, errStat
	}
	s.state = fields[3][0]
	for _, f := range []struct {
		number int
		value  *int
	}{{4, &s.parent}, {5, &s.group}, {6, &s.session}, {20, &s.threads}, {52, &s.status}} {
		if fields[f.number] == "" {
			continue // a kernel older than the field
		}
		if *f.value, err = strconv.Atoi(fields[f.number]); err != nil {
			return stat{}, errStat
		}
	}
	for _, f := range []struct {
		number int
		value  *uint64
	}{{14, &s.user}, {15, &s.system}, {16, &s.childUser}, {17, &s.childSystem}, {22, &s.start}, {28, &s.stack}} {
		if *f.value, err = strconv.ParseUint(fields[f.number], 10, 64); err != nil {
			return stat{}, errStat
		}
	}
	return s, nil
}

// parseStatus finds in /proc/PID/status which process a thread belongs to, 0 when it does not say, and the peak
// resident memory in bytes, 0 when there is no memory any more.
func parseStatus(content []byte) (process int, peak int64) {
	for line := range bytes.Lines(content) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch string(name) {
		case "Tgid":
			process, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
		case "VmHWM":
			kib, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(value), []byte("kB")))), 10, 64)
			if err == nil && kib > 0 && kib < 1<<50 {
				peak = kib << 10
			}
			return process, peak
		}
	}
	return process, peak
}

// parseCmdline splits /proc/PID/cmdline. A program that has overwritten it with a title has one argument.
func parseCmdline(content []byte) []string {
	if len(content) == 0 {
		return nil
	}
	text := string(bytes.TrimSuffix(content, []byte{0}))
	if title := strings.TrimRight(text, "\x00"); !strings.Contains(title, "\x00") && len(text) > len(title)+1 {
		text = title // what was there before is blanked
	}
	return strings.Split(text, "\x00")
}

// parseLastPID finds in /proc/loadavg the pid that was given last in our pid namespace.
func parseLastPID(content []byte) (int, bool) {
	fields := strings.Fields(string(content))
	if len(fields) != 5 {
		return 0, false
	}
	pid, err := strconv.Atoi(fields[4])
	return pid, err == nil && pid > 0
}

// parseForks finds in /proc/stat how many processes and threads have been started since boot.
func parseForks(content []byte) (int64, bool) {
	for line := range bytes.Lines(content) {
		if value, ok := bytes.CutPrefix(line, []byte("processes ")); ok {
			n, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
