package report

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// naive sorts, and takes the least figure that so many per cent do not exceed.
func naive(values []int64) Distribution {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return Distribution{}
	}
	at := func(percent int) int64 {
		for i, v := range sorted {
			if 100*(i+1) >= percent*len(sorted) {
				return v
			}
		}
		return 0
	}
	return Distribution{len(sorted), at(50), at(90), at(99), sorted[len(sorted)-1]}
}

func TestDistribution(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	shapes := map[string]func(i, n int) int64{
		"random":     func(int, int) int64 { return random.Int64() },
		"few values": func(int, int) int64 { return random.Int64N(3) },
		"equal":      func(int, int) int64 { return 7 },
		"ascending":  func(i, _ int) int64 { return int64(i) },
		"descending": func(i, n int) int64 { return int64(n - i) },
		"organ pipe": func(i, n int) int64 { return int64(min(i, n-i)) },
		"saw":        func(i, _ int) int64 { return int64(i % 17) },
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{0, 1, 2, 3, 9, 10, 11, 31, 32, 33, 99, 100, 101, 1000, 4097} {
				values := make([]int64, n)
				for i := range values {
					values[i] = shape(i, n)
				}
				want := naive(values)
				before := slices.Sorted(slices.Values(values))
				if got := distribution(values); got != want {
					t.Errorf("of %d: %+v, want %+v", n, got, want)
				}
				if !slices.Equal(slices.Sorted(slices.Values(values)), before) {
					t.Errorf("of %d: the values have changed", n)
				}
			}
		})
	}
}

func FuzzDistribution(f *testing.F) {
	f.Add([]byte("0123456776543210abcdefgh"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var values []int64
		for ; len(data) >= 2; data = data[2:] {
			values = append(values, int64(int16(binary.LittleEndian.Uint16(data))))
		}
		want := naive(values)
		if got := distribution(values); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}
