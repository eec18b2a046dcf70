package endpoint

import (
	"net/url"
	"strings"
	"testing"
)

// The first part of the table is what opentelemetry-python's gRPC exporter makes of vLLM's --otlp-traces-endpoint, and
// what Go's exporters make of the same variable, where it can be made sense of.
func TestParse(t *testing.T) {
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
		{"h:4317", "grpc", "dns:///h:4317", "http://h:4317/v1/traces", false},
		{"localhost:4317", "grpc", "dns:///localhost:4317", "http://localhost:4317/v1/traces", false},
		{"127.0.0.1:4317", "grpc", "dns:///127.0.0.1:4317", "http://127.0.0.1:4317/v1/traces", false},
		{"[::1]:4317", "grpc", "dns:///[::1]:4317", "http://[::1]:4317/v1/traces", false},
		{"h", "grpc", "dns:///h:4317", "http://h:4318/v1/traces", false},
		{"unix:///run/otel.sock", "grpc", "unix:///run/otel.sock", "http://localhost/v1/traces", false},
		{"unix:otel.sock", "grpc", "unix:otel.sock", "http://localhost/v1/traces", false},
		{"dns:///h:1", "grpc", "dns:///h:1", "http://localhost/v1/traces", false},
		{"h:4317/v1/traces", "grpc", "dns:///h:4317", "http://h:4317/v1/traces", false},
		{"http://10.0.0.1", "grpc", "dns:///10.0.0.1:4317", "http://10.0.0.1", false},
		{"  http://h:4317 ", "grpc", "dns:///h:4317", "http://h:4317", false},

		{"http://h:4318", "http/protobuf", "dns:///h:4318", "http://h:4318", false},
		{"h:4318", "http/protobuf", "dns:///h:4318", "http://h:4318/v1/traces", false},
		{"https://otlp.example.com/v1/traces", "http/protobuf", "dns:///otlp.example.com:4317",
			"https://otlp.example.com/v1/traces", true},
		{"http://127.0.0.1:40123/", "grpc", "dns:///127.0.0.1:40123", "http://127.0.0.1:40123/", false},
		{"http://h:9000/a%2Fb", "http/protobuf", "dns:///h:9000", "http://h:9000/a%2Fb", false},
		{"http://[fe80::1%25eth0]:4318", "http/protobuf", "dns:///[fe80::1%eth0]:4318", "http://[fe80::1%25eth0]:4318", false},
		{"::1", "grpc", "dns:///[::1]:4317", "http://[::1]:4318/v1/traces", false},
		{"http://[::1]", "grpc", "dns:///[::1]:4317", "http://[::1]", false},
		{"http://u:p@h:4317", "grpc", "dns:///h:4317", "http://h:4317", false},
		{"dns:4317", "grpc", "dns:///dns:4317", "http://dns:4317/v1/traces", false},
		{"unix", "grpc", "dns:///unix:4317", "http://unix:4318/v1/traces", false},
		{"otel_collector:4317", "grpc", "dns:///otel_collector:4317", "http://otel_collector:4317/v1/traces", false},
	}
	for _, test := range tests {
		e, err := Parse(test.in)
		if err != nil {
			t.Errorf("%q: %v", test.in, err)
			continue
		}
		if got := e.Protocol(); got != test.protocol {
			t.Errorf("%q: protocol %s, want %s", test.in, got, test.protocol)
		}
		if got := e.DialTarget(); got != test.dial {
			t.Errorf("%q: dials %s, want %s", test.in, got, test.dial)
		}
		if got := e.URL().String(); got != test.url {
			t.Errorf("%q: posts to %s, want %s", test.in, got, test.url)
		}
		if e.Secure != test.secure {
			t.Errorf("%q: TLS %v, want %v", test.in, e.Secure, test.secure)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{
		"", " ", "http://", "ftp://h:1", "http://h:", "http://h:0", "http://h:65536", "http://h:port", "h:-1", "h:+1",
		"http://[::1", "http://[h]:1", "http://[::1]x", "http://[::1]:", "a b", "http://h\n:1", "http://h:1/%zz",
		"unix:", "unix://", "dns://", "http://:4317", ":4317", "http://h/\x00", "::1:x",
	} {
		if e, err := Parse(in); err == nil {
			t.Errorf("%q: taken as %+v", in, e)
		}
	}
}

func TestErrorsDoNotRepeatTheEndpoint(t *testing.T) {
	for _, in := range []string{"http://user:sec/ret@h:4317", "http://h:secret", "http://sec!ret", "http://h/secret%zz", "http://[secret]:1"} {
		if _, err := Parse(in); err == nil || strings.Contains(err.Error(), "sec") {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestSocket(t *testing.T) {
	for in, want := range map[string]string{
		"unix:///run/otel.sock": "/run/otel.sock", "unix:otel.sock": "otel.sock", "unix:/run/s": "/run/s", "h:4317": "", "dns:///h:1": "",
	} {
		e, err := Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := e.Socket(); ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q, %v, want %q", in, got, ok, want)
		}
	}
}

func TestAuthorization(t *testing.T) {
	for in, want := range map[string]string{"http://u:p%20w@h": "Basic dTpwIHc=", "http://u@h": "Basic dTo=", "http://h": ""} {
		e, err := Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Authorization(); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// What Init writes into the environment has to mean the same to this parser, to Python's and to Go's.
func TestEndpointForChildren(t *testing.T) {
	tests := []struct{ in, protocol, want string }{
		{"h:4317", GRPC, "http://h:4317"},
		{"h", GRPC, "http://h:4317"},
		{"grpcs://h:4317", GRPC, "https://h:4317"},
		{"http://h:4317/v1/traces?x", GRPC, "http://h:4317"},
		{"http://u:p@h:4317", GRPC, "http://h:4317"},
		{"[::1]:4317", GRPC, "http://[::1]:4317"},
		{"h:4318", HTTP, "http://h:4318/v1/traces"},
		{"h", HTTP, "http://h:4318/v1/traces"},
		{"https://h/otlp/v1/traces?k=v", HTTP, "https://h/otlp/v1/traces?k=v"},
		{"http://u:p@h:4318/x", HTTP, "http://u:p@h:4318/x"},
		{"unix:///run/otel.sock", GRPC, "unix:///run/otel.sock"},
	}
	for _, test := range tests {
		e, err := Parse(test.in)
		if err != nil {
			t.Errorf("%q: %v", test.in, err)
			continue
		}
		got := e.ForChildren(test.protocol)
		if got != test.want {
			t.Errorf("%q for %s: %s, want %s", test.in, test.protocol, got, test.want)
		}
		again, err := Parse(got)
		if err != nil || again.ForChildren(test.protocol) != got {
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
		e, err := Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.BelowBase().URL().String(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// FuzzParse compares with net/url where both read http and https URLs, and checks for every endpoint that it is
// handed to children in a form that reads the same again, and that net/url can read.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"h:4317", "http://h:4317/v1/traces?x=1#f", "https://[::1]:4318/a%2Fb", "grpcs://h", "//h:1", "unix:///s",
		"http://u:p@h:1", "[fe80::1%eth0]:4317", "dns:4317", "::1", "http://h:0", "HTTP://H", "http://h//x", "h:1/..//x", "http://h//!",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		e, err := Parse(in)
		if err != nil {
			return
		}
		trimmed := strings.TrimSpace(in)
		if u, err := url.Parse(trimmed); err == nil && (u.Scheme == "http" || u.Scheme == "https") &&
			strings.HasPrefix(trimmed[len(u.Scheme):], "://") {
			if e.Secure != (u.Scheme == "https") {
				t.Errorf("%q: TLS %v", in, e.Secure)
			}
			if got, want := e.Host, u.Hostname(); got != want {
				t.Errorf("%q: host %q, net/url has %q", in, got, want)
			}
			if got, want := strings.TrimLeft(e.Port, "0"), strings.TrimLeft(u.Port(), "0"); got != want {
				t.Errorf("%q: port %q, net/url has %q", in, got, want)
			}
			if got, want := e.URL().EscapedPath(), u.EscapedPath(); got != want {
				t.Errorf("%q: path %q, net/url has %q", in, got, want)
			}
		}
		for _, protocol := range []string{GRPC, HTTP} {
			out := e.ForChildren(protocol)
			again, err := Parse(out)
			if err != nil {
				t.Fatalf("%q: children get %q, which is refused: %v", in, out, err)
			}
			if again.ForChildren(protocol) != out || again.Secure != e.Secure {
				t.Errorf("%q: children get %q, which reads as %+v", in, out, again)
			}
			if _, err := url.Parse(out); err != nil && e.Target == "" {
				t.Errorf("%q: children get %q, which net/url refuses: %v", in, out, err)
			}
		}
	})
}
