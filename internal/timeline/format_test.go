package timeline

import (
	"math"
	"testing"
	"time"
)

func TestFormatDuration(t *testing.T) {
	for want, ns := range map[string]int64{
		"0s": 0, "1ns": 1, "850ns": 850, "1µs": 1000, "2.3µs": 2300, "999µs": 999_400, "1ms": 999_900, "2.3ms": 2_310_000,
		"149ms": 149_087_000, "1.0s": 999_900_000, "3.4s": 3_403_000_000, "61.2s": 61_200_000_000,
		"1m40s": int64(100 * time.Second), "2m41s": int64(161 * time.Second), "1h00m": int64(time.Hour - time.Millisecond),
		"3h02m": int64(182 * time.Minute), "4d06h": int64(102 * time.Hour), "-1.0s": -1_000_000_000, "-106751d23h": math.MinInt64,
	} {
		if got := FormatDuration(ns); got != want {
			t.Errorf("FormatDuration(%d) = %q, want %q", ns, got, want)
		}
	}
}

func TestFormatRange(t *testing.T) {
	for _, test := range []struct {
		low, high time.Duration
		want      string
	}{
		{time.Second, time.Second, "1.0s"},
		{2400 * time.Millisecond, 3 * time.Second, "2.4-3.0s"},
		{900 * time.Millisecond, 3 * time.Second, "900ms-3.0s"},
		{90 * time.Second, 150 * time.Second, "90.0s-2m30s"},
		{150 * time.Second, 200 * time.Second, "2m30s-3m20s"},
	} {
		if got := formatRange(int64(test.low), int64(test.high), "-"); got != test.want {
			t.Errorf("formatRange(%v, %v) = %q, want %q", test.low, test.high, got, test.want)
		}
	}
}

func TestFormatTick(t *testing.T) {
	for _, test := range []struct {
		at, step time.Duration
		want     string
	}{
		{0, time.Second, "0s"},
		{20 * time.Second, 10 * time.Second, "20s"},
		{500 * time.Millisecond, 500 * time.Millisecond, "500ms"},
		{1500 * time.Millisecond, 500 * time.Millisecond, "1.5s"},
		{75 * time.Second, 15 * time.Second, "1m15s"},
		{time.Minute, 15 * time.Second, "1m"},
		{10 * time.Minute, 5 * time.Minute, "10m"},
		{time.Hour, 30 * time.Minute, "1h"},
		{90 * time.Minute, 30 * time.Minute, "1h30m"},
		{20 * time.Hour, 2 * time.Hour, "20h"},
		{72 * time.Hour, 24 * time.Hour, "3d"},
	} {
		if got := formatTick(int64(test.at), int64(test.step)); got != test.want {
			t.Errorf("formatTick(%v, %v) = %q, want %q", test.at, test.step, got, test.want)
		}
	}
}

func TestFormatCount(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 99900: "99,900", 1234567: "1,234,567", -1234: "-1,234"} {
		if got := FormatCount(n); got != want {
			t.Errorf("FormatCount(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "日本": "日本", "a\tb\nc": "a b c", "\x1b[31m": `\x1b[31m`, "\x00": `\x00`, "\xff": `\xff`,
		"\u202e": `\u202e`, "\u2028": `\u2028`, "👩\u200d💻": "👩\u200d💻", "é": "é",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestTruncateWithTheEllipsisOfTheDrawing(t *testing.T) {
	for unicode, want := range map[bool]string{true: "longer …", false: "longer.."} {
		if got := (TextOptions{Unicode: unicode}).Truncate("longer than that", 8); got != want {
			t.Errorf("unicode %v: %q, want %q", unicode, got, want)
		}
	}
}

func TestIDDigitsTellApart(t *testing.T) {
	for _, test := range []struct {
		ids  []string
		want int
	}{
		{nil, 8},
		{[]string{"0123456789abcdef", "fedcba9876543210"}, 8},
		{[]string{"0123456789abcdef", "0123456789abcdef"}, 8},
		{[]string{"0123456789abcdef", "fedcba9876543210", "0123456789a00000"}, 12},
		{[]string{"0123", "0123456789"}, 8},
	} {
		if got := IDDigits(test.ids); got != test.want {
			t.Errorf("%v: %d, want %d", test.ids, got, test.want)
		}
	}
}

func TestTruncateIsByColumns(t *testing.T) {
	for _, test := range []struct {
		in      string
		columns int
		want    string
	}{
		{"short", 10, "short"}, {"longer than that", 8, "longer.."}, {"日本語日本語", 7, "日本.."}, {"ab", 1, "a"}, {"ab", 0, ""},
	} {
		if got := Truncate(test.in, test.columns); got != test.want {
			t.Errorf("Truncate(%q, %d) = %q, want %q", test.in, test.columns, got, test.want)
		}
	}
}
