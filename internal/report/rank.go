package report

import (
	"math/bits"
	"slices"
)

// Distribution is the spread of a measure. The figures are zero where Count is.
type Distribution struct {
	Count   int
	P50     int64
	P90     int64
	P99     int64
	Slowest int64
}

// distribution returns the exact percentiles of values by nearest rank, and changes the order of values.
func distribution(values []int64) Distribution {
	n := len(values)
	if n == 0 {
		return Distribution{}
	}
	d := Distribution{Count: n}
	from := 0 // what lies before is not larger than what lies behind
	for _, p := range [...]struct {
		percent int
		value   *int64
	}{{50, &d.P50}, {90, &d.P90}, {99, &d.P99}} {
		rank := (p.percent*n+99)/100 - 1
		place(values[from:], rank-from)
		*p.value = values[rank]
		from = rank
	}
	d.Slowest = slices.Max(values[from:])
	return d
}

// place reorders values so that values[k] is the one that sorting would put there, none before it is larger and none behind
// it is smaller: quickselect.
func place(values []int64, k int) {
	const few = 32
	for limit := 2 * bits.Len(uint(len(values))); len(values) > few && limit > 0; limit-- {
		low, high := partition(values)
		switch {
		case k < low:
			values = values[:low]
		case k >= high:
			values, k = values[high:], k-high
		default:
			return
		}
	}
	slices.Sort(values) // few are left, or the pivots were unlucky
}

// partition puts what is smaller than a pivot before low and what is larger from high on; between them all equal the pivot.
func partition(values []int64) (low, high int) {
	n := len(values)
	median := func(i, j, k int) int64 {
		a, b, c := values[i], values[j], values[k]
		return max(min(a, b), min(max(a, b), c))
	}
	nine := [3]int64{
		median(0, n/8, n/4), median(n/2-n/8, n/2, n/2+n/8), median(n-1-n/4, n-1-n/8, n-1),
	}
	pivot := max(min(nine[0], nine[1]), min(max(nine[0], nine[1]), nine[2]))
	high = n
	for i := 0; i < high; {
		switch v := values[i]; {
		case v < pivot:
			values[low], values[i] = v, values[low]
			low++
			i++
		case v > pivot:
			high--
			values[i], values[high] = values[high], v
		default:
			i++
		}
	}
	return low, high
}
