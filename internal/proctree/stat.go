package proctree

import (
	"bytes"
	"errors"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
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
	number := 3 // of the field in the manual
	for field := range bytes.FieldsSeq(line[end+1:]) {
		if err := s.set(number, field); err != nil {
			return stat{}, err
		}
		number++
	}
	if number <= 28 {
		return stat{}, errStat
	}
	return s, nil
}

// set takes in a field by its number in the manual. The last come only from newer kernels.
func (s *stat) set(number int, field []byte) error {
	var count *int
	var amount *uint64
	switch number {
	case 3:
		if len(field) != 1 || field[0] >= utf8.RuneSelf {
			return errStat
		}
		s.state = field[0]
	case 4:
		count = &s.parent
	case 5:
		count = &s.group
	case 6:
		count = &s.session
	case 14:
		amount = &s.user
	case 15:
		amount = &s.system
	case 16:
		amount = &s.childUser
	case 17:
		amount = &s.childSystem
	case 20:
		count = &s.threads
	case 22:
		amount = &s.start
	case 28:
		amount = &s.stack
	case 52:
		count = &s.status
	}
	ok := true
	if count != nil {
		*count, ok = parseInt(field)
	} else if amount != nil {
		*amount, ok = parseUint(field)
	}
	if !ok {
		return errStat
	}
	return nil
}

// parseUint is strconv's for bytes, without an allocation.
func parseUint(digits []byte) (uint64, bool) {
	var n uint64
	for _, c := range digits {
		high, low := bits.Mul64(n, 10)
		sum, carry := bits.Add64(low, uint64(c-'0'), 0)
		if c < '0' || c > '9' || high != 0 || carry != 0 {
			return 0, false
		}
		n = sum
	}
	return n, len(digits) > 0
}

// parseInt is for numbers that may have a minus.
func parseInt(digits []byte) (int, bool) {
	rest, negative := bytes.CutPrefix(digits, []byte("-"))
	n, ok := parseUint(rest)
	if n > math.MaxInt32 {
		return 0, false
	}
	if negative {
		return -int(n), ok
	}
	return int(n), ok
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
