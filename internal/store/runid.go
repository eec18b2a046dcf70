package store

import (
	"crypto/rand"
	"strings"
)

// A run's id is runIDLength digits of Crockford's base32, which has no I, L, O, U.
const (
	runIDLength   = 10
	runIDAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)

// NewRunID returns a random run id. Any unique prefix names the run; four characters are shown where they are unique.
func NewRunID() string {
	var random [runIDLength]byte
	_, _ = rand.Read(random[:]) // never fails
	return runID(random[:])
}

// RunIDOf returns the run id that a hash gives, of whose bytes it takes the first ten.
func RunIDOf(hash []byte) string { return runID(hash[:runIDLength]) }

func runID(digits []byte) string {
	id := make([]byte, len(digits))
	for i, b := range digits {
		id[i] = runIDAlphabet[b&31]
	}
	return string(id)
}

// IsRunID tells whether text can be the id of a run.
func IsRunID(text string) bool {
	return len(text) == runIDLength && strings.Trim(text, runIDAlphabet) == ""
}
