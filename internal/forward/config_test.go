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
