package forward

import (
	"net/url"
	"strings"
	"testing"
)

// An endpoint that is taken leads to the host that net/url sees in it, over HTTP as over gRPC.
func FuzzEndpoint(f *testing.F) {
	for _, s := range []string{"http://c:4317", "https://c/otlp?x=y", "c:4317", "[::1]:4318", "grpc://u:p@c:1/x", "unix:///s", "//c:1", "http://"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, protocol := range []string{protocolGRPC, protocolHTTP} {
			b, err := FromEnviron(environment("TRACES_ENDPOINT="+s, "PROTOCOL="+protocol))
			if err != nil || b == nil || !strings.Contains(s, "://") || strings.HasPrefix(s, "unix:") || strings.HasPrefix(s, "dns:") {
				continue
			}
			given, err := url.Parse(strings.TrimSpace(s))
			if err != nil || given.Scheme == "unix" || given.Scheme == "dns" || given.Scheme == "passthrough" {
				continue
			}
			if protocol == protocolGRPC {
				host := strings.TrimPrefix(b.Address, "passthrough:///")
				if u, err := url.Parse("http://" + host); err != nil || u.Hostname() != given.Hostname() || u.Port() == "" {
					t.Errorf("%q is dialled as %q", s, host)
				}
				continue
			}
			u, err := url.Parse(b.Address)
			if err != nil || u.Host != given.Host || (u.Scheme == "https") != (b.TLS != nil) {
				t.Errorf("%q is posted to %q", s, b.Address)
			}
		}
	})
}
