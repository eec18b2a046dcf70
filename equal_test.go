package forkspan_test

import "slices"

func equal(a, b []string) bool { return slices.Equal(a, b) }

// sameSet compares environments, whose order means nothing.
func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}
