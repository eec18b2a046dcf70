package redact

import (
	"strings"
	"testing"
)

// Text of a stranger takes time in proportion to its length: were it to its square, these would not end while anybody waits.
func TestUnclosedValuesAreReadOnce(t *testing.T) {
	for _, unit := range []string{"-u [a ", `-u \a `, "api_key=[a ", `token=\`} {
		s := strings.Repeat(unit, 1<<17/len(unit)) + "\nDB_PASSWORD=hunter2 -u me:hunter2"
		if got := String(s); strings.Contains(got, "hunter2") {
			t.Errorf("%s: the secret at the end is not hidden", unit)
		}
	}
}

func TestValuesInBrackets(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"X-Api-Key:[a b] n:[1]", "X-Api-Key:" + Mark + " n:[1]"},
		{"X-Api-Key:[a b", "X-Api-Key:" + Mark + " b"},
		{"api_key=[a x\ntoken=[b c] d]", "api_key=" + Mark + " x\ntoken=" + Mark + " d]"},
		{"api_key=[a token=[b]", "api_key=" + Mark},
		{"api_key=[a token=[b\n]", "api_key=" + Mark + " token=" + Mark + "\n]"},
		{`{"cmd":"curl -u \"me:a b\" h"}`, `{"cmd":"curl -u ` + Mark + ` h"}`},
		{`{"cmd":"curl -u me:a\" h"}`, `{"cmd":"curl -u ` + Mark + `\" h"}`},
	} {
		if got := String(tt.text); got != tt.want {
			t.Errorf("String(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}
