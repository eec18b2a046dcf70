package scriptspan

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// errRange is the error for times that spans cannot have.
var errRange = errors.New("not between 1970 and 2262")

// ParseTime reads a point in time: now, -5s (before now), RFC 3339 (a blank may stand for the T, as date --rfc-3339 prints it),
// or Unix time in seconds, with or without a fraction, milliseconds, microseconds or nanoseconds, told apart by the number
// of digits.
func ParseTime(text string, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return time.Time{}, errors.New("empty time")
	case text == "now":
		return now, nil
	case text[0] == '-' || text[0] == '+':
		d, err := time.ParseDuration(text)
		if err != nil {
			return time.Time{}, fmt.Errorf("%q is no duration like -5s or -1m30s", text)
		}
		return inRange(now.Add(d))
	case strings.Trim(text, "0123456789.") == "":
		return parseUnix(text)
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil {
			return inRange(t)
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: want RFC 3339, Unix time, -5s or now", text)
}

func inRange(t time.Time) (time.Time, error) {
	if t.Unix() < 0 || t.Unix() >= math.MaxInt64/int64(time.Second) || t.UnixNano() == 0 {
		return time.Time{}, errRange
	}
	return t, nil
}

// parseUnix reads a number since 1970. The largest number of seconds has 10 digits until 2286.
func parseUnix(text string) (time.Time, error) {
	whole, fraction, hasFraction := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || hasFraction && (fraction == "" || strings.Contains(fraction, ".")) {
		return time.Time{}, fmt.Errorf("%q is no Unix time", text)
	}
	const seconds, milliseconds, microseconds = 11, 14, 17 // digits at most
	digits := len(strings.TrimLeft(whole, "0"))
	switch {
	case digits <= seconds:
		nanoseconds, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 64) // digits
		return inRange(time.Unix(n, nanoseconds))
	case hasFraction:
		return time.Time{}, fmt.Errorf("%q: only seconds have a fraction", text)
	case digits <= milliseconds:
		return inRange(time.UnixMilli(n))
	case digits <= microseconds:
		return inRange(time.UnixMicro(n))
	}
	return inRange(time.Unix(0, n))
}
