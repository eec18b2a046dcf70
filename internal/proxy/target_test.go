package proxy

import (
	"strings"
	"testing"
)

func TestParseUpstream(t *testing.T) {
	for _, tt := range []struct{ in, want string }{ // an empty want: an error
		{"8000", "http://127.0.0.1:8000"},
		{":8000", "http://127.0.0.1:8000"},
		{"localhost:8000", "http://localhost:8000"},
		{"[::1]:8000", "http://[::1]:8000"},
		{"https://example.com/base", "https://example.com/base"},
		{"ftp://example.com", ""},
		{"http://", ""},
		{"http://u:sk-quokka@a b", ""},
		{"http://a?key=1", ""},
		{"", ""},
	} {
		u, err := ParseUpstream(tt.in)
		if (err == nil) != (tt.want != "") || err == nil && u.String() != tt.want {
			t.Errorf("%q: %v, %v; want %q", tt.in, u, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "quokka") {
			t.Errorf("a password is in the error: %v", err)
		}
	}
}

func TestParsePair(t *testing.T) {
	for _, tt := range []struct{ in, listen, upstream string }{ // an empty listen: an error
		{"8001:8000", "127.0.0.1:8001", "http://127.0.0.1:8000"},
		{"4319:http://10.0.0.7:8000", "127.0.0.1:4319", "http://10.0.0.7:8000"},
		{"127.0.0.1:4319:localhost:8000", "127.0.0.1:4319", "http://localhost:8000"},
		{"[::1]:4319:https://example.com/base", "[::1]:4319", "https://example.com/base"},
		{"8001", "", ""},
		{"host:8001", "", ""},
		{"", "", ""},
		{"8001:", "", ""},
		{"70000:8000", "", ""},
	} {
		listen, u, err := ParsePair(tt.in)
		if (err == nil) != (tt.listen != "") {
			t.Errorf("%q: %v", tt.in, err)
		}
		if err == nil && (listen != tt.listen || u.String() != tt.upstream) {
			t.Errorf("%q: %s, %s", tt.in, listen, u)
		}
	}
}
