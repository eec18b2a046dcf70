package cli

import "testing"

func TestBecauseIsTheCauseAlone(t *testing.T) {
	for reason, want := range map[string]string{
		"Unavailable: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused":                        "connection refused",
		`connection error: desc = "transport: Error while dialing: dial tcp: lookup c on 10.0.0.2:53: no such host"`: "no such host",
		`Post "http://[::1]:1/v1/traces": dial tcp [::1]:1: i/o timeout`:                                             "i/o timeout",
		"dial unix /run/otel.sock: connect: no such file or directory":                                               "no such file or directory",
		"HTTP 429: slow down: dial back":                                                                             "HTTP 429: slow down: dial back",
		"PermissionDenied: no such tenant":                                                                           "PermissionDenied: no such tenant",
	} {
		if got := because(reason); got != want {
			t.Errorf("%s: %q, want %q", reason, got, want)
		}
	}
}
