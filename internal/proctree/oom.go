package proctree

import (
	"bytes"
	"strconv"
	"strings"
)

// oomCounters lists the files that may count the kills of a control group, from /proc/PID/cgroup (cgroups(7)).
func oomCounters(membership string) []string {
	var list []string
	for line := range strings.Lines(membership) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 || strings.Contains(parts[2], "/..") {
			continue
		}
		path := strings.TrimSuffix(parts[2], "/")
		switch {
		case parts[0] == "0" && parts[1] == "":
			list = append(list, "/sys/fs/cgroup"+path+"/memory.events", "/sys/fs/cgroup/memory.events")
		case strings.Contains(","+parts[1]+",", ",memory,"):
			list = append(list, "/sys/fs/cgroup/memory"+path+"/memory.oom_control", "/sys/fs/cgroup/memory/memory.oom_control")
		}
	}
	return list
}

// parseOOMKills finds the count in memory.events or memory.oom_control.
func parseOOMKills(content []byte) (int64, bool) {
	for line := range bytes.Lines(content) {
		if value, ok := bytes.CutPrefix(line, []byte("oom_kill ")); ok {
			n, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// parseOOMRecord finds the pid in a record of the kernel's log about a kill for want of memory.
func parseOOMRecord(record []byte) (int, bool) {
	prefix, message, _ := bytes.Cut(record, []byte(";"))
	facility, _, _ := bytes.Cut(prefix, []byte(","))
	if priority, err := strconv.Atoi(string(facility)); err != nil || priority>>3 != 0 {
		return 0, false // not the kernel's: anyone who may write to the log could have said it
	}
	const phrase = "Killed process "
	_, rest, ok := bytes.Cut(message, []byte(phrase))
	if !ok || !bytes.HasPrefix(message, []byte(phrase)) &&
		!bytes.HasPrefix(message, []byte("Out of memory")) && !bytes.HasPrefix(message, []byte("Memory cgroup out of memory")) {
		return 0, false
	}
	digits, _, _ := bytes.Cut(rest, []byte(" "))
	pid, err := strconv.Atoi(string(bytes.TrimSuffix(digits, []byte(","))))
	return pid, err == nil && pid > 0
}
