package forkspan_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/forkspantest"
	"go.opentelemetry.io/otel"
)

func TestBadConfiguration(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.pem")
	noCert := filepath.Join(t.TempDir(), "text.pem")
	if err := os.WriteFile(noCert, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	collector := forkspantest.NewCollector(t)
	const (
		endpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
		off      = "tracing disabled"
	)
	tests := []struct {
		env     map[string]string // with a collector's endpoint unless one is here
		bad     string            // the variable that the error names
		value   string            // as the error shows it; empty means as it is in env
		used    string
		text    string // part of the message
		enabled bool
	}{
		{env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "GRPC"}, used: off,
			text: "Unsupported OTLP protocol 'GRPC' is configured"},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "thrift"}, used: off, text: "Unsupported OTLP protocol"},
		{env: map[string]string{endpoint: "ftp://h:1"}, used: off, text: "unknown scheme"},
		{env: map[string]string{endpoint: "http://user:secret@h:port"}, value: "http://[redacted]@h:port", used: off, text: "port"},
		{env: map[string]string{endpoint: "http://h:0/x?token=secret"}, value: "http://h:0/x?token=[redacted]", used: off,
			text: "port"},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[::1", endpoint: ""}, bad: "OTEL_EXPORTER_OTLP_ENDPOINT",
			used: off, text: "parse endpoint"},
		{env: map[string]string{endpoint: "https://h:4317", "OTEL_EXPORTER_OTLP_CERTIFICATE": missing},
			bad: "OTEL_EXPORTER_OTLP_CERTIFICATE", used: off, text: "read certificate"},
		{env: map[string]string{endpoint: "https://h:4317", "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE": noCert},
			bad: "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", used: off, text: "no PEM certificate"},
		{env: map[string]string{endpoint: "https://h:4317", "OTEL_EXPORTER_OTLP_CLIENT_KEY": missing},
			bad: "OTEL_EXPORTER_OTLP_CLIENT_KEY", used: off, text: "without OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"},
		{env: map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, used: off, text: `unknown exporter "zipkin"`},

		{env: map[string]string{"OTEL_TRACES_EXPORTER": "zipkin,jaeger"}, used: off, text: `"zipkin", "jaeger"`},

		{env: map[string]string{"OTEL_TRACES_EXPORTER": "zipkin,otlp"}, used: "the other exporters named", enabled: true},
		{env: map[string]string{"OTEL_SDK_DISABLED": "yes"}, used: "false", enabled: true},
		{env: map[string]string{"OTEL_TRACES_SAMPLER": "sometimes"}, used: "parentbased_always_on", enabled: true},
		{env: map[string]string{"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "10%"},
			bad: "OTEL_TRACES_SAMPLER_ARG", used: "1.0", text: "not a number from 0 to 1", enabled: true},
		{env: map[string]string{"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "NaN"},
			bad: "OTEL_TRACES_SAMPLER_ARG", used: "1.0", enabled: true},
		{env: map[string]string{"OTEL_PROPAGATORS": "xray"}, used: "tracecontext,baggage", text: `"xray"`, enabled: true},
		{env: map[string]string{"OTEL_PROPAGATORS": "b3,ottrace"}, used: "the other propagators named", enabled: true},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "api-key secret"}, value: "[redacted]", used: "the other headers",
			enabled: true},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "api-key=secret%zz"}, value: "api-key=[redacted]",
			used: "the other headers", enabled: true},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "api-key=secret%01"}, value: "api-key=[redacted]",
			used: "the other headers", enabled: true},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "api-key=secret%C3%A9"}, value: "api-key=[redacted]",
			used: "the other headers", text: "gRPC cannot send", enabled: true},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "api!key=secret"}, value: "api!key=[redacted]",
			used: "the other headers", text: "gRPC header name", enabled: true},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "connection=close"}, value: "connection=[redacted]",
			used: "the other headers", enabled: true},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_TIMEOUT": "10s"}, used: "10000", enabled: true},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_COMPRESSION": "zstd"}, used: "none", enabled: true},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_INSECURE": "1"}, used: "false", enabled: true},
		{env: map[string]string{"OTEL_BSP_SCHEDULE_DELAY": "-1"}, used: "5000", enabled: true},
		{env: map[string]string{"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "20"},
			bad: "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", used: "10", enabled: true},
		{env: map[string]string{"OTEL_BSP_SCHEDULE_DELAY": "9223372036854775807"}, used: "5000", text: "more than",
			enabled: true},
		{env: map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "password=secret%zz"}, value: "password=[redacted]",
			used: "the value as it is", enabled: true},
		{env: map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "novalue"}, used: "the other attributes", enabled: true},
		{env: map[string]string{"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "many"}, used: "128", enabled: true},
		{env: map[string]string{"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "-5"}, used: "-1", enabled: true},
	}
	for _, test := range tests {
		if test.bad == "" {
			for name := range test.env {
				test.bad = name
			}
		}
		t.Run(test.bad+"="+test.env[test.bad], func(t *testing.T) {
			if _, ok := test.env[endpoint]; !ok {
				t.Setenv(endpoint, collector.Endpoint())
			}
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			var handled errorList
			otel.SetErrorHandler(otel.ErrorHandlerFunc(handled.add))
			before := os.Environ()
			tr, err := forkspan.Init(t.Context(), "test.module", forkspan.WithoutGlobals(), forkspan.WithoutEnvironment())
			if !sameSet(os.Environ(), before) {
				t.Error("Init has changed the environment")
			}
			if handled.String() != "" {
				t.Errorf("told twice: %s", handled.String())
			}
			if tr == nil {
				t.Fatal("no tracer")
			}
			defer tr.Shutdown(context.Background())
			var bad *forkspan.ConfigError
			if !errors.As(err, &bad) {
				t.Fatalf("error %v, want a ConfigError", err)
			}
			value := test.value
			if value == "" {
				value = test.env[test.bad]
			}
			if bad.Var != test.bad || bad.Value != value || bad.Used != test.used {
				t.Errorf("error names %s=%q and used %q, want %s=%q and %q",
					bad.Var, bad.Value, bad.Used, test.bad, value, test.used)
			}
			if strings.Count(err.Error(), "used instead") != 1 {
				t.Errorf("more than one error: %v", err)
			}
			if !strings.Contains(err.Error(), test.text) || strings.Contains(err.Error(), "secret") {
				t.Errorf("message %q, want %q in it and no secret", err, test.text)
			}
			if tr.Enabled() != test.enabled || forkspan.Enabled() != test.enabled {
				t.Errorf("enabled: %v, want %v", tr.Enabled(), test.enabled)
			}
			_, span := tr.Start(t.Context(), "goes on")
			span.End()
		})
	}
}

func TestQueueOfAnySize(t *testing.T) {
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", strconv.Itoa(math.MaxInt))
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", strconv.Itoa(math.MaxInt))
	c := forkspantest.NewCollector(t)
	tr := start(t, forkspan.WithEndpoint(c.Endpoint()))
	spans(t.Context(), 3000) // more than room is made for beforehand
	if err := tr.Flush(t.Context()); err != nil || len(c.Spans()) != 3000 {
		t.Errorf("%d spans arrived, error %v", len(c.Spans()), err)
	}
}

func TestEveryBadSettingIsInTheError(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4317")
	t.Setenv("OTEL_TRACES_SAMPLER", "sometimes")
	t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "soon")
	tr, err := forkspan.Init(t.Context(), "test.module")
	defer tr.Shutdown(context.Background())
	for _, name := range []string{"OTEL_TRACES_SAMPLER", "OTEL_BSP_EXPORT_TIMEOUT"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want %s in it", err, name)
		}
	}
}

func TestDisabledWithoutAWord(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"no endpoint":     {},
		"empty endpoint":  {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": ""},
		"sdk disabled":    {"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "h:4317"},
		"no exporter":     {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "h:4317"},
		"worker, no word": {"OTEL_TRACES_EXPORTER": "otlp"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range env {
				t.Setenv(k, v)
			}
			setUp := forkspan.Init
			if strings.HasPrefix(name, "worker") {
				setUp = func(ctx context.Context, module string, opts ...forkspan.Option) (*forkspan.Tracer, error) {
					return forkspan.InitWorker(ctx, module, "worker", "Worker_0", opts...)
				}
			}
			tr, err := setUp(t.Context(), "test.module")
			if err != nil || tr == nil || tr.Enabled() || forkspan.Enabled() {
				t.Fatalf("tracer %v, enabled %v, error %v", tr, tr.Enabled(), err)
			}
			ctx, span := tr.Start(t.Context(), "nothing")
			if ctx != t.Context() || span.IsRecording() {
				t.Error("a disabled tracer does something")
			}
			if err := tr.Shutdown(t.Context()); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
		})
	}
}

func TestEndpointInTheEnvironmentOfChildren(t *testing.T) {
	const name, protocol = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
	general := "OTEL_EXPORTER_OTLP_ENDPOINT"
	tests := []struct {
		env                map[string]string
		endpoint, protocol string
	}{
		{map[string]string{name: "h:4317"}, "http://h:4317", "grpc"},
		{map[string]string{name: "grpcs://h:4317"}, "https://h:4317", "grpc"},
		{map[string]string{name: "http://h:4318"}, "http://h:4318", "http/protobuf"},
		{map[string]string{name: "http://h:4318/x", protocol: "http/json"}, "http://h:4318/x", "http/protobuf"},
		{map[string]string{general: "http://h:4318"}, "http://h:4318/v1/traces", "http/protobuf"},
		{map[string]string{general: "https://h/otlp/"}, "https://h/otlp/v1/traces", "http/protobuf"},
		{map[string]string{general: "http://h:4317"}, "http://h:4317", "grpc"},
		{map[string]string{general: "h:9", "OTEL_EXPORTER_OTLP_INSECURE": "false"}, "https://h:9", "grpc"},
		{map[string]string{general: "http://h:9", name: "http://t:4317"}, "http://t:4317", "grpc"},
		{map[string]string{general: "http://h:9", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
			"http://h:9/v1/traces", "http/protobuf"},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, "http://localhost:4317", "grpc"},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp", protocol: "http/protobuf"},
			"http://localhost:4318/v1/traces", "http/protobuf"},
		// What forkspan run sets in its children.
		{map[string]string{name: "http://127.0.0.1:40123/", "OTEL_EXPORTER_OTLP_TRACES_INSECURE": "true"},
			"http://127.0.0.1:40123", "grpc"},
	}
	for _, test := range tests {
		t.Run(test.endpoint, func(t *testing.T) {
			for k, v := range test.env {
				t.Setenv(k, v)
			}
			before := os.Environ()
			tr, err := forkspan.Init(t.Context(), "test.module")
			if err != nil {
				t.Fatal(err)
			}
			if got := os.Getenv(name); got != test.endpoint {
				t.Errorf("endpoint %q, want %q", got, test.endpoint)
			}
			if got := os.Getenv(protocol); got != test.protocol {
				t.Errorf("protocol %q, want %q", got, test.protocol)
			}
			env := tr.Environ(t.Context(), []string{"A=1"})
			if want := []string{"A=1", name + "=" + test.endpoint, protocol + "=" + test.protocol}; !equal(env, want) {
				t.Errorf("Environ: %q, want %q", env, want)
			}
			if err := tr.Shutdown(t.Context()); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			if after := os.Environ(); !sameSet(before, after) {
				t.Errorf("Shutdown did not put the environment back:\n%q\n%q", before, after)
			}
		})
	}
}
