package proxy

import (
	"io"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

func TestNames(t *testing.T) {
	l := newLines(io.Discard)
	id := func(hex string) trace.TraceID {
		id, err := trace.TraceIDFromHex(hex)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	for _, test := range []struct {
		id      string
		callers bool
		want    string
	}{
		{"4bf92f3577b34da6a3ce929d0e0e4736", false, "4bf92f35"},
		{"4bf92f3577b34da6a3ce929d0e0e4736", false, "4bf92f35"}, // again
		{"4bf92f3577b00000000000000000000a", false, "4bf92f3577b0"},
		{"4bf92f35a0000000000000000000000b", false, "4bf92f35a"},
		{"4bf92f3577b34da6a3ce929d0e0e4735", false, "4bf92f3577b34da6a3ce929d0e0e4735"},
		{"ab000000000000000000000000000001", true, "ab000000000000000000000000000001"},
		{"ab000000000000000000000000000002", false, "ab000000"},
	} {
		if got := l.name(id(test.id), test.callers); got != test.want {
			t.Errorf("%s: %s, want %s", test.id, got, test.want)
		}
	}
	for i := range 2 * maxNamed {
		l.name(trace.TraceID{byte(i >> 16), byte(i >> 8), byte(i), 1, 15: 1}, false)
	}
	if n := len(l.named); n > maxNamed {
		t.Errorf("%d names are kept", n)
	}
}

func TestFigures(t *testing.T) {
	for speed, want := range map[float64]string{0.25: "0.25", 41.26: "41.3", 99.96: "100", 170.2: "170", 17042.9: "17043"} {
		if got := figures(speed); got != want {
			t.Errorf("%v: %s, want %s", speed, got, want)
		}
	}
}
