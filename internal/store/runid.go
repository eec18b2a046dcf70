package store

import (
	"crypto/rand"
	"encoding/base32"
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
	return RunIDOf(random[:])
}

// RunIDOf returns the run id that a hash gives: its first fifty bits.
func RunIDOf(hash []byte) string {
	return base32.NewEncoding(runIDAlphabet).EncodeToString(hash)[:runIDLength]
}

// IsRunID tells whether text can be the id of a run.
func IsRunID(text string) bool {
	return len(text) == runIDLength && strings.Trim(text, runIDAlphabet) == ""
}
