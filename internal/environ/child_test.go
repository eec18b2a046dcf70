package environ

import (
	"slices"
	"strings"
	"testing"
)

const hostPort = "127.0.0.1:4711"

// asMap fails on a name that is there twice.
func asMap(t *testing.T, env []string) map[string]string {
	t.Helper()
	m := make(map[string]string)
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		if _, ok := m[name]; ok {
			t.Errorf("%s is set twice", name)
		}
		m[name] = value
	}
	return m
}

func TestChildEnvironment(t *testing.T) {
	child := Child{HostPort: hostPort, RunID: "7K3F", Service: "vllm", Context: TraceContext{Traceparent: "00-a-b-01"}}
	const gone = "\x00"
	tests := []struct {
		name  string
		base  []string
		child func(*Child)
		want  map[string]string // gone: must not be set
	}{
		{"nothing set", nil, nil, map[string]string{
			"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4711/",
			"OTEL_EXPORTER_OTLP_TRACES_INSECURE": "true",
			"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": gone,
			"OTEL_EXPORTER_OTLP_ENDPOINT":        gone,
			"traceparent":                        "00-a-b-01",
			"TRACEPARENT":                        "00-a-b-01",
			"tracestate":                         gone,
			"TRACESTATE":                         gone,
			"OTEL_BSP_SCHEDULE_DELAY":            "500",
			"OTEL_SERVICE_NAME":                  "vllm",
			"OTEL_RESOURCE_ATTRIBUTES":           "forkspan.run.id=7K3F",
			"FORKSPAN_RUN":                       "7K3F",
			"NO_PROXY":                           "127.0.0.1,localhost",
			"no_proxy":                           "127.0.0.1,localhost",
			"no_grpc_proxy":                      gone,
		}},
		{"the last of two values counts", []string{"A=1", "A=2", "traceparent=x", "traceparent=y"}, nil,
			map[string]string{"A": "2", "traceparent": "00-a-b-01"}},
		{"stale state of the other spelling goes", []string{"TRACESTATE=a=1", "BAGGAGE=k=v"}, nil,
			map[string]string{"tracestate": gone, "TRACESTATE": gone, "baggage": gone, "BAGGAGE": gone}},
		{"state and baggage in both spellings", []string{"TRACESTATE=old"}, func(c *Child) {
			c.Context.Tracestate, c.Context.Baggage = "a=1", "k=v"
		}, map[string]string{"tracestate": "a=1", "TRACESTATE": "a=1", "baggage": "k=v", "BAGGAGE": "k=v"}},
		{"no context is handed on", []string{"TRACEPARENT=00-c-d-01", "tracestate=a=1"}, func(c *Child) {
			c.Context = TraceContext{}
		}, map[string]string{"traceparent": gone, "TRACEPARENT": gone, "tracestate": gone}},
		{"settings of the traces signal", []string{
			"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://collector:4317",
			"OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE=/ca.pem",
			"OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE=/c.pem",
			"OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY=/k.pem",
			"OTEL_EXPORTER_OTLP_TRACES_HEADERS=api-key=1",
			"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION=deflate",
			"OTEL_EXPORTER_OTLP_TRACES_INSECURE=false",
			"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/json",
			"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=3000",
		}, nil, map[string]string{
			"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":           "http://127.0.0.1:4711/",
			"OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE":        gone,
			"OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE": gone,
			"OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY":         gone,
			"OTEL_EXPORTER_OTLP_TRACES_HEADERS":            gone,
			"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION":        gone,
			"OTEL_EXPORTER_OTLP_TRACES_INSECURE":           "true",
			"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL":           "http/json",
			"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT":            "3000",
		}},
		{"metrics and logs go where they went", []string{
			"OTEL_EXPORTER_OTLP_ENDPOINT=https://collector:4317",
			"OTEL_EXPORTER_OTLP_HEADERS=api-key=1",
			"OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
			"OTEL_EXPORTER_OTLP_INSECURE=false",
			"OTEL_EXPORTER_OTLP_CERTIFICATE=/ca.pem",
			"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=/c.pem",
			"OTEL_EXPORTER_OTLP_CLIENT_KEY=/k.pem",
			"OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE=/logs.pem",
			"OTEL_EXPORTER_OTLP_COMPRESSION=gzip",
		}, nil, map[string]string{
			"OTEL_EXPORTER_OTLP_ENDPOINT":                   "https://collector:4317",
			"OTEL_EXPORTER_OTLP_HEADERS":                    "api-key=1",
			"OTEL_EXPORTER_OTLP_PROTOCOL":                   "grpc",
			"OTEL_EXPORTER_OTLP_INSECURE":                   "false",
			"OTEL_EXPORTER_OTLP_COMPRESSION":                "gzip",
			"OTEL_EXPORTER_OTLP_CERTIFICATE":                gone,
			"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE":         gone,
			"OTEL_EXPORTER_OTLP_CLIENT_KEY":                 gone,
			"OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE":        "/ca.pem",
			"OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE": "/c.pem",
			"OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY":         "/k.pem",
			"OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE":           "/logs.pem",
			"OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY":            "/k.pem",
		}},
		{"an encoding we do not take", []string{"OTEL_EXPORTER_OTLP_COMPRESSION=deflate"}, nil, map[string]string{
			"OTEL_EXPORTER_OTLP_COMPRESSION":         gone,
			"OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": "deflate",
			"OTEL_EXPORTER_OTLP_LOGS_COMPRESSION":    "deflate",
		}},
		{"the user's delay", []string{"OTEL_BSP_SCHEDULE_DELAY=100"}, nil,
			map[string]string{"OTEL_BSP_SCHEDULE_DELAY": "100"}},
		{"the user's service name", []string{"OTEL_SERVICE_NAME=api"}, nil, map[string]string{"OTEL_SERVICE_NAME": "api"}},
		{"a service name among the attributes", []string{"OTEL_RESOURCE_ATTRIBUTES=a=b, service.name=api,"}, nil,
			map[string]string{
				"OTEL_SERVICE_NAME":        gone,
				"OTEL_RESOURCE_ATTRIBUTES": "a=b, service.name=api,forkspan.run.id=7K3F",
			}},
		{"an outer run's attribute", []string{"OTEL_RESOURCE_ATTRIBUTES=forkspan.run.id=OLD,a=b", "FORKSPAN_RUN=OLD"}, nil,
			map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "a=b,forkspan.run.id=7K3F", "FORKSPAN_RUN": "7K3F"}},
		{"proxies: one spelling is not hidden by the other", []string{"NO_PROXY=corp.example, 127.0.0.1"}, nil,
			map[string]string{
				"NO_PROXY": "corp.example, 127.0.0.1,localhost",
				"no_proxy": "corp.example, 127.0.0.1,localhost",
			}},
		{"proxies: each spelling keeps its own", []string{"NO_PROXY=a", "no_proxy=b,", "no_grpc_proxy=c"}, nil,
			map[string]string{
				"NO_PROXY":      "a,127.0.0.1,localhost",
				"no_proxy":      "b,127.0.0.1,localhost",
				"no_grpc_proxy": "c,127.0.0.1,localhost",
			}},
		{"proxies: everything is bypassed already", []string{"NO_PROXY=*", "HTTP_PROXY=http://p:3128"}, nil,
			map[string]string{"NO_PROXY": "*", "no_proxy": "*", "HTTP_PROXY": "http://p:3128"}},
		{"a loopback address of IPv6", nil, func(c *Child) { c.HostPort = "[::1]:9" }, map[string]string{
			"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://[::1]:9/",
			"NO_PROXY":                           "127.0.0.1,localhost,::1",
		}},
		{"no port", []string{"OTEL_EXPORTER_OTLP_TRACES_HEADERS=a=b"}, func(c *Child) { c.HostPort = "" }, map[string]string{
			"OTEL_EXPORTER_OTLP_TRACES_HEADERS":  "a=b",
			"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": gone,
			"NO_PROXY":                           gone,
			"traceparent":                        "00-a-b-01",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := child
			if tt.child != nil {
				tt.child(&c)
			}
			before := slices.Clone(tt.base)
			got := asMap(t, c.environ(tt.base, false))
			if !slices.Equal(before, tt.base) {
				t.Errorf("the base was changed: %q", tt.base)
			}
			for name, want := range tt.want {
				value, ok := got[name]
				switch {
				case want == gone && ok:
					t.Errorf("%s=%s, want it unset", name, value)
				case want != gone && value != want:
					t.Errorf("%s=%s, want %s", name, value, want)
				}
			}
		})
	}
}

func TestChildEnvironmentIgnoringCase(t *testing.T) {
	c := Child{HostPort: hostPort, RunID: "1", Context: TraceContext{Traceparent: "00-a-b-01"}}
	got := asMap(t, c.environ([]string{`=C:=C:\dir`, "TraceParent=old", "No_Proxy=a"}, true))
	if got["TraceParent"] != "00-a-b-01" || got["traceparent"] != "" || got["TRACEPARENT"] != "" {
		t.Errorf("trace context: %q", got)
	}
	if got["No_Proxy"] != "a,127.0.0.1,localhost" || got["NO_PROXY"] != "" {
		t.Errorf("proxies: %q", got)
	}
}

func TestNestedChangesOnlyTheParent(t *testing.T) {
	base := []string{"FORKSPAN_RUN=7K3F", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:1/", "TRACEPARENT=old", "A=b"}
	got := asMap(t, Nested(base, TraceContext{Traceparent: "new"}))
	want := map[string]string{
		"FORKSPAN_RUN": "7K3F", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/",
		"TRACEPARENT": "new", "traceparent": "new", "A": "b",
	}
	if len(got) != len(want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s=%s, want %s", name, got[name], value)
		}
	}
}

func TestSilenced(t *testing.T) {
	tests := []struct {
		env  []string
		want string
	}{
		{nil, ""},
		{[]string{"OTEL_TRACES_EXPORTER=otlp"}, ""},
		{[]string{"OTEL_TRACES_EXPORTER="}, ""},
		{[]string{"OTEL_TRACES_EXPORTER=console, otlp_proto_http"}, ""},
		{[]string{"OTEL_TRACES_EXPORTER=none"}, "OTEL_TRACES_EXPORTER=none"},
		{[]string{"OTEL_TRACES_EXPORTER=console"}, "OTEL_TRACES_EXPORTER=console"},
		{[]string{"OTEL_SDK_DISABLED=True"}, "OTEL_SDK_DISABLED=True"},
		{[]string{"OTEL_SDK_DISABLED=1"}, ""},
	}
	for _, tt := range tests {
		if got := Silenced(Lookup(tt.env)); got != tt.want {
			t.Errorf("Silenced(%q) = %q, want %q", tt.env, got, tt.want)
		}
	}
}

func TestFindOuter(t *testing.T) {
	tests := []struct {
		run, endpoint, hostPort string
		ok                      bool
	}{
		{"", "http://127.0.0.1:4711/", hostPort, false},
		{"7K3F", "", "", false},
		{"7K3F", "http://127.0.0.1:4711/", hostPort, true},
		{"7K3F", "http://127.0.0.1:4711/v1/traces", hostPort, true},
		{"7K3F", "127.0.0.1:4711", hostPort, true},
		{"7K3F", "http://[::1", "", false},
	}
	for _, tt := range tests {
		env := []string{"FORKSPAN_RUN=" + tt.run, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=" + tt.endpoint}
		got, ok := FindOuter(Lookup(env))
		if got.HostPort != tt.hostPort || got.RunID != tt.run || ok != tt.ok {
			t.Errorf("FindOuter(%q) = %+v, %v", env, got, ok)
		}
		if left := WithoutOuter(env); tt.run != "" && len(left) != 0 {
			t.Errorf("WithoutOuter(%q) = %q", env, left)
		}
	}
}

func TestPlaceholders(t *testing.T) {
	p := Placeholders{HostPort: hostPort, Traceparent: "00-a-b-01", TraceID: "a", RunID: "7K3F"}
	args := []string{
		"--url={forkspan.endpoint}/v1/traces", "{forkspan.hostport}", "{forkspan.traceparent} {forkspan.trace_id}",
		"{forkspan.run}", "{forkspan.other}", "{}", "{{forkspan.run}}",
	}
	want := []string{
		"--url=http://127.0.0.1:4711/v1/traces", hostPort, "00-a-b-01 a", "7K3F", "{forkspan.other}", "{}", "{7K3F}",
	}
	if got := p.Replace(args); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
