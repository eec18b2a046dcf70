package forward

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func environment(pairs ...string) func(string) (string, bool) {
	m := make(map[string]string)
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		m["OTEL_EXPORTER_OTLP_"+name] = value
	}
	return func(name string) (string, bool) { value, ok := m[name]; return value, ok }
}

func TestFromEnviron(t *testing.T) {
	tests := []struct {
		env               string // separated by blanks
		protocol, address string
		tls               bool
	}{
		{"ENDPOINT=http://c:4317", "grpc", "passthrough:///c:4317", false},
		{"ENDPOINT=https://c", "grpc", "passthrough:///c:4317", true},
		{"ENDPOINT=http://c:4318", "http/protobuf", "http://c:4318/v1/traces", false},
		{"ENDPOINT=http://c:4318/ PROTOCOL=http/json", "http/json", "http://c:4318/v1/traces", false},
		{"ENDPOINT=https://c/otlp PROTOCOL=http/protobuf", "http/protobuf", "https://c/otlp/v1/traces", true},
		{"TRACES_ENDPOINT=http://c:9/x?y=z", "http/protobuf", "http://c:9/x?y=z", false},
		{"TRACES_ENDPOINT=http://c:9 PROTOCOL=http/protobuf", "http/protobuf", "http://c:9", false},
		{"TRACES_ENDPOINT=http://a:1 ENDPOINT=http://b:2", "grpc", "passthrough:///a:1", false},
		{"ENDPOINT=http://c:4318 TRACES_PROTOCOL=grpc PROTOCOL=http/json", "grpc", "passthrough:///c:4318", false},
		{"ENDPOINT=localhost:4317", "grpc", "passthrough:///localhost:4317", false},
		{"ENDPOINT=localhost:4317 INSECURE=false", "grpc", "passthrough:///localhost:4317", true},
		{"ENDPOINT=http://localhost:4317 INSECURE=false", "grpc", "passthrough:///localhost:4317", false},
		{"ENDPOINT=localhost:4318", "http/protobuf", "http://localhost:4318/v1/traces", false},
		{"ENDPOINT=[::1]:4317", "grpc", "passthrough:///[::1]:4317", false},
		{"ENDPOINT=grpc://c:1/v1/traces PROTOCOL=grpc", "grpc", "passthrough:///c:1", false},
		{"ENDPOINT=unix:///run/otel.sock", "grpc", "unix:///run/otel.sock", false},
		{"ENDPOINT=unix:///run/otel.sock PROTOCOL=http/protobuf", "http/protobuf", "http://localhost/v1/traces", false},
		{"TRACES_ENDPOINT=localhost:4318", "http/protobuf", "http://localhost:4318/v1/traces", false},
		{"TRACES_ENDPOINT=c:4318/x", "http/protobuf", "http://c:4318/x", false},
		{"ENDPOINT=u:p@c:4317", "grpc", "passthrough:///c:4317", false},
	}
	for _, tt := range tests {
		t.Run(tt.env, func(t *testing.T) {
			b, err := FromEnviron(environment(strings.Fields(tt.env)...))
			if err != nil || b == nil {
				t.Fatalf("got %v, %v", b, err)
			}
			if b.Protocol != tt.protocol || b.Address != tt.address || (b.TLS != nil) != tt.tls {
				t.Errorf("got %s %s tls=%v", b.Protocol, b.Address, b.TLS != nil)
			}
		})
	}
}

func TestFromEnvironSettings(t *testing.T) {
	b, err := FromEnviron(environment("ENDPOINT=http://u:p@c:4317", "HEADERS=Api-Key=a%20b, x=y=z,,", "COMPRESSION=gzip",
		"TRACES_TIMEOUT=250"))
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(b.Headers, map[string]string{"api-key": "a b", "x": "y=z", "authorization": "Basic dTpw"}) || !b.Gzip || b.Timeout != 250*time.Millisecond {
		t.Errorf("got %+v", b)
	}
	if b, err := FromEnviron(environment("ENDPOINT= ")); b != nil || err != nil {
		t.Errorf("no endpoint: %v, %v", b, err)
	}
}

func TestFromEnvironErrors(t *testing.T) {
	noCert := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(noCert, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		env  []string
		want string // names the variable
	}{
		{[]string{"ENDPOINT=ftp://c"}, "OTEL_EXPORTER_OTLP_ENDPOINT: unknown scheme"},
		{[]string{"TRACES_ENDPOINT=http://"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: unusable host"},
		{[]string{"ENDPOINT=http://u:secret@c:x"}, "OTEL_EXPORTER_OTLP_ENDPOINT: unusable"},
		{[]string{"ENDPOINT=dns:///c:1", "PROTOCOL=http/json"}, "OTEL_EXPORTER_OTLP_ENDPOINT: a gRPC target"},
		{[]string{"ENDPOINT=c:1", "PROTOCOL=kafka"}, "OTEL_EXPORTER_OTLP_PROTOCOL: unknown protocol"},
		{[]string{"ENDPOINT=c:1", "HEADERS=secret"}, "OTEL_EXPORTER_OTLP_HEADERS"},
		{[]string{"ENDPOINT=c:1", "HEADERS=a b=secret"}, `OTEL_EXPORTER_OTLP_HEADERS: "a b" is no name`},
		{[]string{"ENDPOINT=c:1", "HEADERS==secret"}, "OTEL_EXPORTER_OTLP_HEADERS"},
		{[]string{"ENDPOINT=c:1", "HEADERS=grpc-x=secret"}, "no name of a header"},
		{[]string{"ENDPOINT=c:1", "HEADERS=k=secret%0a"}, "OTEL_EXPORTER_OTLP_HEADERS: the value of k"},
		{[]string{"ENDPOINT=c:1", "HEADERS=k=secret\xc3\xa4"}, "the value of k"},
		{[]string{"ENDPOINT=c:1", "TIMEOUT=soon"}, "OTEL_EXPORTER_OTLP_TIMEOUT"},
		{[]string{"ENDPOINT=c:1", "TIMEOUT=9223372036854775807"}, "OTEL_EXPORTER_OTLP_TIMEOUT"},
		{[]string{"ENDPOINT=https://c:1", "CERTIFICATE=/nonexistent"}, "OTEL_EXPORTER_OTLP_CERTIFICATE"},
		{[]string{"ENDPOINT=https://c:1", "TRACES_CERTIFICATE=" + noCert}, "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE: no certificate"},
		{[]string{"ENDPOINT=https://c:1", "CLIENT_CERTIFICATE=/x", "CLIENT_KEY=/y"}, "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"},
	}
	for _, tt := range tests {
		_, err := FromEnviron(environment(tt.env...))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q in it", tt.env, err, tt.want)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error shows a secret: %v", tt.env, err)
		}
	}
}

// What the store learns of a backend names what is secret and holds none of it; a later forkspan knows when it has all it takes.
func TestTarget(t *testing.T) {
	for _, tt := range []struct {
		env, address, needs string
	}{
		{"ENDPOINT=http://c:4317", "http://c:4317", ""},
		{"ENDPOINT=https://c:4317", "https://c:4317", ""},
		{"ENDPOINT=http://u:secret@c:4317", "http://c:4317", "header authorization"},
		{"ENDPOINT=http://c:4318 HEADERS=b=secret,a=secret", "http://c:4318/v1/traces", "header a, header b"},
		{"TRACES_ENDPOINT=https://u:secret@c/x?key=secret PROTOCOL=http/json", "https://c/x", "address, header authorization"},
		{"ENDPOINT=unix:/run/c.sock PROTOCOL=http/protobuf", "unix:/run/c.sock", ""},
		{"ENDPOINT=unix:/run/c.sock", "unix:/run/c.sock", ""},
		{"ENDPOINT=dns:///c:4317", "dns:///c:4317", ""},
	} {
		have, err := FromEnviron(environment(strings.Fields(tt.env)...))
		if err != nil {
			t.Fatal(err)
		}
		target := have.Target()
		if target.Address != tt.address || strings.Join(target.Needs, ", ") != tt.needs {
			t.Errorf("%s: %+v", tt.env, target)
		}
		if b, err := For(target, have, false); err != nil || b != have {
			t.Errorf("%s: with the same environment %v, %v", tt.env, b, err)
		}
		b, err := For(target, nil, false)
		if tt.needs != "" {
			if err == nil || !strings.Contains(err.Error(), tt.needs) {
				t.Errorf("%s: without it %v", tt.env, err)
			}
			continue
		}
		if err != nil || b.Address != have.Address || b.Protocol != have.Protocol || b.Socket != have.Socket || (b.TLS == nil) != (have.TLS == nil) {
			t.Errorf("%s: made again %+v, %v; want %+v", tt.env, b, err, have)
		}
	}
}

// --forward goes before the environment, whose headers go to their own host only.
func TestFind(t *testing.T) {
	headers := "HEADERS=k=v"
	for _, tt := range []struct {
		to      string
		env     []string
		address string
		headers int
	}{
		{"", []string{"ENDPOINT=http://c:4317", headers}, "passthrough:///c:4317", 1},
		{"http://d:4317", []string{headers}, "passthrough:///d:4317", 1},
		{"http://d:4317", []string{"ENDPOINT=http://c:4317", headers}, "passthrough:///d:4317", 0},
		{"http://c:4318", []string{"TRACES_ENDPOINT=http://c:4317", headers}, "http://c:4318/v1/traces", 1},
		{"http://u:p@d:4317", nil, "passthrough:///d:4317", 1},
	} {
		b, err := Find(tt.to, environment(tt.env...))
		if err != nil || b.Address != tt.address || len(b.Headers) != tt.headers {
			t.Errorf("%q %q: %+v, %v", tt.to, tt.env, b, err)
		}
	}
}
