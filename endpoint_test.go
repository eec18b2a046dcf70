package forkspan

import (
	"net/url"
	"strings"
	"testing"
)

// The first part of the table is what opentelemetry-python's gRPC exporter makes of vLLM's --otlp-traces-endpoint, and
// what Go's exporters make of the same variable, where it can be made sense of.
func TestParseEndpoint(t *testing.T) {
	tests := []struct {
		in       string
		protocol string // the one chosen when none is asked for
		dial     string // by gRPC
		url      string // of OTLP/HTTP
		secure   bool
	}{
		{"http://h:4317", "grpc", "dns:///h:4317", "http://h:4317", false},
		{"grpc://h:4317", "grpc", "dns:///h:4317", "http://h:4317", false},
		{"grpcs://h:4317", "grpc", "dns:///h:4317", "https://h:4317", true},
		{"//h:4317", "grpc", "dns:///h:4317", "http://h:4317", false},
		{"http://h:4317/v1/traces?x", "grpc", "dns:///h:4317", "http://h:4317/v1/traces?x", false},
		{"https://h:4317", "grpc", "dns:///h:4317", "https://h:4317", true},
		{"HTTPS://h:4317", "grpc", "dns:///h:4317", "https://h:4317", true},
		{"h:4317", "grpc", "dns:///h:4317", "http://h:4317", false},
		{"localhost:4317", "grpc", "dns:///localhost:4317", "http://localhost:4317", false},
		{"127.0.0.1:4317", "grpc", "dns:///127.0.0.1:4317", "http://127.0.0.1:4317", false},
		{"[::1]:4317", "grpc", "dns:///[::1]:4317", "http://[::1]:4317", false},
		{"h", "grpc", "dns:///h:4317", "http://h:4318", false},
		{"unix:///run/otel.sock", "grpc", "unix:///run/otel.sock", "http://localhost/v1/traces", false},
		{"unix:otel.sock", "grpc", "unix:otel.sock", "http://localhost/v1/traces", false},
		{"dns:///h:1", "grpc", "dns:///h:1", "http://localhost/v1/traces", false},
		{"h:4317/v1/traces", "grpc", "dns:///h:4317", "http://h:4317/v1/traces", false},
		{"http://10.0.0.1", "grpc", "dns:///10.0.0.1:4317", "http://10.0.0.1", false},
		{"  http://h:4317 ", "grpc", "dns:///h:4317", "http://h:4317", false},

		{"http://h:4318", "http/protobuf", "dns:///h:4318", "http://h:4318", false},
		{"h:4318", "http/protobuf", "dns:///h:4318", "http://h:4318", false},
		{"https://otlp.example.com/v1/traces", "http/protobuf", "dns:///otlp.example.com:4317",
			"https://otlp.example.com/v1/traces", true},
		{"http://127.0.0.1:40123/", "grpc", "dns:///127.0.0.1:40123", "http://127.0.0.1:40123/", false},
		{"http://h:9000/a%2Fb", "http/protobuf", "dns:///h:9000", "http://h:9000/a%2Fb", false},
		{"http://[fe80::1%25eth0]:4318", "http/protobuf", "dns:///[fe80::1%eth0]:4318", "http://[fe80::1%25eth0]:4318", false},
		{"::1", "grpc", "dns:///[::1]:4317", "http://[::1]:4318", false},
		{"http://[::1]", "grpc", "dns:///[::1]:4317", "http://[::1]", false},
		{"http://u:p@h:4317", "grpc", "dns:///h:4317", "http://h:4317", false},
		{"dns:4317", "grpc", "dns:///dns:4317", "http://dns:4317", false},
		{"unix", "grpc", "dns:///unix:4317", "http://unix:4318", false},
		{"otel_collector:4317", "grpc", "dns:///otel_collector:4317", "http://otel_collector:4317", false},
	}
	for _, test := range tests {
		e, err := parseEndpoint(test.in)
		if err != nil {
			t.Errorf("%q: %v", test.in, err)
			continue
		}
		if got := e.protocolFor(); got != test.protocol {
			t.Errorf("%q: protocol %s, want %s", test.in, got, test.protocol)
		}
		if got := e.dialTarget(); got != test.dial {
			t.Errorf("%q: dials %s, want %s", test.in, got, test.dial)
		}
		if got := e.httpURL().String(); got != test.url {
			t.Errorf("%q: posts to %s, want %s", test.in, got, test.url)
		}
		if e.secure != test.secure {
			t.Errorf("%q: TLS %v, want %v", test.in, e.secure, test.secure)
		}
	}
}

func TestParseEndpointRefuses(t *testing.T) {
	for _, in := range []string{
		"", " ", "http://", "ftp://h:1", "http://h:", "http://h:0", "http://h:65536", "http://h:port", "h:-1", "h:+1",
		"http://[::1", "http://[h]:1", "http://[::1]x", "http://[::1]:", "a b", "http://h\n:1", "http://h:1/%zz",
		"unix:", "unix://", "dns://", "http://:4317", ":4317", "http://h/\x00", "::1:x",
	} {
		if e, err := parseEndpoint(in); err == nil {
			t.Errorf("%q: taken as %+v", in, e)
		}
	}
}

// What Init writes into the environment has to mean the same to this parser, to Python's and to Go's.
func TestEndpointForChildren(t *testing.T) {
	tests := []struct{ in, protocol, want string }{
		{"h:4317", protocolGRPC, "http://h:4317"},
		{"h", protocolGRPC, "http://h:4317"},
		{"grpcs://h:4317", protocolGRPC, "https://h:4317"},
		{"http://h:4317/v1/traces?x", protocolGRPC, "http://h:4317"},
		{"http://u:p@h:4317", protocolGRPC, "http://h:4317"},
		{"[::1]:4317", protocolGRPC, "http://[::1]:4317"},
		{"h:4318", protocolHTTP, "http://h:4318"},
		{"h", protocolHTTP, "http://h:4318"},
		{"https://h/otlp/v1/traces?k=v", protocolHTTP, "https://h/otlp/v1/traces?k=v"},
		{"http://u:p@h:4318/x", protocolHTTP, "http://u:p@h:4318/x"},
		{"unix:///run/otel.sock", protocolGRPC, "unix:///run/otel.sock"},
	}
	for _, test := range tests {
		e, err := parseEndpoint(test.in)
		if err != nil {
			t.Errorf("%q: %v", test.in, err)
			continue
		}
		got := e.forChildren(test.protocol)
		if got != test.want {
			t.Errorf("%q for %s: %s, want %s", test.in, test.protocol, got, test.want)
		}
		again, err := parseEndpoint(got)
		if err != nil || again.forChildren(test.protocol) != got {
			t.Errorf("%q: %s is not read as it was written (%v)", test.in, got, err)
		}
	}
}

func TestBelowBase(t *testing.T) {
	for in, want := range map[string]string{
		"http://h:4318":       "http://h:4318/v1/traces",
		"http://h:4318/":      "http://h:4318/v1/traces",
		"http://h:4318/otlp/": "http://h:4318/otlp/v1/traces",
		"h:4318":              "http://h:4318/v1/traces",
		"http://h?key=1":      "http://h/v1/traces?key=1",
	} {
		e, err := parseEndpoint(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.belowBase().httpURL().String(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// FuzzParseEndpoint compares with net/url where both read http and https URLs, and checks for every endpoint that it is
// handed to children in a form that reads the same again, and that net/url can read.
func FuzzParseEndpoint(f *testing.F) {
	for _, seed := range []string{
		"h:4317", "http://h:4317/v1/traces?x=1#f", "https://[::1]:4318/a%2Fb", "grpcs://h", "//h:1", "unix:///s",
		"http://u:p@h:1", "[fe80::1%eth0]:4317", "dns:4317", "::1", "http://h:0", "HTTP://H", "http://h//x", "h:1/..//x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		e, err := parseEndpoint(in)
		if err != nil {
			return
		}
		trimmed := strings.TrimSpace(in)
		if u, err := url.Parse(trimmed); err == nil && (u.Scheme == "http" || u.Scheme == "https") &&
			strings.HasPrefix(trimmed[len(u.Scheme):], "://") {
			if e.secure != (u.Scheme == "https") {
				t.Errorf("%q: TLS %v", in, e.secure)
			}
			if got, want := e.host, u.Hostname(); got != want {
				t.Errorf("%q: host %q, net/url has %q", in, got, want)
			}
			if got, want := strings.TrimLeft(e.port, "0"), strings.TrimLeft(u.Port(), "0"); got != want {
				t.Errorf("%q: port %q, net/url has %q", in, got, want)
			}
			if got, want := e.httpURL().EscapedPath(), u.EscapedPath(); got != want {
				t.Errorf("%q: path %q, net/url has %q", in, got, want)
			}
		}
		for _, protocol := range []string{protocolGRPC, protocolHTTP} {
			out := e.forChildren(protocol)
			again, err := parseEndpoint(out)
			if err != nil {
				t.Fatalf("%q: children get %q, which is refused: %v", in, out, err)
			}
			if again.forChildren(protocol) != out || again.secure != e.secure {
				t.Errorf("%q: children get %q, which reads as %+v", in, out, again)
			}
			if _, err := url.Parse(out); err != nil && e.target == "" {
				t.Errorf("%q: children get %q, which net/url refuses: %v", in, out, err)
			}
		}
	})
}
