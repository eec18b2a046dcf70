package timeline

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// FormatDuration writes nanoseconds as a reader wants them, three digits or so: 850ns, 2.3ms, 149ms, 3.4s, 2m41s, 3h02m, 4d06h.
func FormatDuration(ns int64) string {
	if ns < 0 {
		if ns == math.MinInt64 {
			ns++
		}
		return "-" + FormatDuration(-ns)
	}
	switch d := time.Duration(ns); {
	case ns == 0:
		return "0s"
	case d < time.Microsecond:
		return strconv.FormatInt(ns, 10) + "ns"
	case d < 999500*time.Nanosecond:
		return threeDigits(float64(ns)/1e3) + "µs"
	case d < 999500*time.Microsecond:
		return threeDigits(float64(ns)/1e6) + "ms"
	case d < 99950*time.Millisecond:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s"
	case d < time.Hour-time.Second/2:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 48*time.Hour-time.Minute/2:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		d = d.Round(time.Hour)
		return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	}
}

// threeDigits writes 2.3, 23 and 231; not 2.30 nor 23.1.
func threeDigits(v float64) string {
	if v < 9.95 {
		return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// formatRange writes the shortest and longest of a group, as one figure where they look the same and with one unit where they share it.
func formatRange(low, high int64, dash string) string {
	a, b := FormatDuration(low), FormatDuration(high)
	if a == b {
		return a
	}
	digitsA, digitsB := strings.TrimRight(a, "nµms"), strings.TrimRight(b, "nµms")
	if a[len(digitsA):] == b[len(digitsB):] && !strings.ContainsAny(digitsA+digitsB, "mhd") {
		a = digitsA
	}
	return a + dash + b
}

// FormatCount writes n with thousands apart: 99,900.
func FormatCount(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return sign + s
}

// Columns is how many columns a terminal gives a text.
func Columns(s string) int { return columnsOf(s) }

// Truncate cuts s to at most columns, with ".." where something was cut off.
func Truncate(s string, columns int) string { return truncate(s, columns, asciiGlyphs.ellipsis) }

// Truncate cuts s to at most columns, with the ellipsis of the drawing where something was cut off.
func (o TextOptions) Truncate(s string, columns int) string {
	if o.Unicode {
		return truncate(s, columns, unicodeGlyphs.ellipsis)
	}
	return Truncate(s, columns)
}

// IDDigits is how many digits of ids tell them all apart, 8 at least: as many as name a trace.
func IDDigits(ids []string) int {
	const least = 8
	for n, longest := least, least; ; n++ {
		whole := map[string]string{}
		apart := true
		for _, id := range ids {
			longest = max(longest, len(id))
			prefix := id[:min(n, len(id))]
			if other, taken := whole[prefix]; taken && other != id {
				apart = false
			}
			whole[prefix] = id
		}
		if apart || n >= longest {
			return n
		}
	}
}
