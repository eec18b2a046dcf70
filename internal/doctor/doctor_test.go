package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"

	"forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	endpointVariable = "OTEL_EXPORTER_OTLP_ENDPOINT="
	tracesEndpoint   = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="
	protocolHTTP     = "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
	protocolGRPC     = "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"
	sampledParent    = "TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
)

// setup is a set-up that is broken in one way.
type setup struct {
	name   string
	make   func(t *testing.T) []string // the environment
	id     string                      // of the check that has to name the fault
	text   string                      // in it
	hint   string                      // in its hint
	status Status                      // Problem when empty
}

func fixed(environ ...string) func(*testing.T) []string {
	return func(*testing.T) []string { return environ }
}

func server(handler http.HandlerFunc, path string, more ...string) func(*testing.T) []string {
	return func(t *testing.T) []string {
		return append([]string{tracesEndpoint + "http://" + serveHTTP(t, nil, handler) + path, protocolHTTP}, more...)
	}
}

func secure(change func(*x509.Certificate), config *tls.Config, trust bool) func(*testing.T) []string {
	return func(t *testing.T) []string {
		certificate, file := issue(t, change)
		config := config.Clone()
		config.Certificates = []tls.Certificate{certificate}
		environ := []string{endpointVariable + "https://" + serveHTTP(t, config, takes), protocolHTTP}
		if trust {
			environ = append(environ, "OTEL_EXPORTER_OTLP_CERTIFICATE="+file)
		}
		return environ
	}
}

var setups = []setup{
	{name: "wrong port", make: func(t *testing.T) []string {
		return []string{endpointVariable + "http://" + closedPort(t), protocolHTTP}
	}, id: "endpoint-refused", text: "connection refused", hint: "OTEL_EXPORTER_OTLP_ENDPOINT"},
	{name: "http for https", make: func(t *testing.T) []string {
		certificate, _ := issue(t, func(*x509.Certificate) {})
		config := &tls.Config{Certificates: []tls.Certificate{certificate}}
		return []string{endpointVariable + "http://" + serveHTTP(t, config, takes), protocolHTTP}
	}, id: "plain-for-tls", text: "OTLP/HTTP over TLS answers", hint: "https:// in OTEL_EXPORTER_OTLP_ENDPOINT"},
	{name: "https for http", make: func(t *testing.T) []string {
		return []string{endpointVariable + "https://" + serveHTTP(t, nil, takes), protocolHTTP}
	}, id: "tls-for-plain", text: "speaks OTLP/HTTP without", hint: "http:// in OTEL_EXPORTER_OTLP_ENDPOINT"},
	{name: "https for plain gRPC", make: func(t *testing.T) []string {
		return []string{endpointVariable + "https://" + serveGRPC(t, codes.OK), protocolGRPC}
	}, id: "tls-for-plain", text: "speaks OTLP/gRPC without"},
	{name: "unknown protocol", make: fixed(endpointVariable+"http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_PROTOCOL=http"),
		id: "protocol-unknown", text: "OTEL_EXPORTER_OTLP_PROTOCOL=http is no OTLP protocol", hint: "http/protobuf is meant"},
	{name: "HTTP exporter to a gRPC port", make: func(t *testing.T) []string {
		return []string{endpointVariable + "http://" + serveGRPC(t, codes.OK), protocolHTTP}
	}, id: "protocol-mismatch", text: "OTLP/HTTP is sent to", hint: "PROTOCOL=grpc, or port 4318 for OTLP/HTTP"},
	{name: "gRPC exporter to an HTTP port", make: func(t *testing.T) []string {
		return []string{endpointVariable + "http://" + serveHTTP(t, nil, takes), protocolGRPC}
	}, id: "protocol-mismatch", text: "OTLP/gRPC is sent to", hint: "PROTOCOL=http/protobuf, or port 4317 for OTLP/gRPC"},
	{name: "proxy in the way", make: func(t *testing.T) []string {
		proxy := serveHTTP(t, nil, answers(http.StatusServiceUnavailable))
		return []string{endpointVariable + "http://collector.invalid:4318", "HTTP_PROXY=http://" + proxy}
	}, id: "proxy-in-the-way", text: "status 503", hint: "NO_PROXY=collector.invalid"},
	{name: "proxy that is down, for gRPC", make: func(t *testing.T) []string {
		return []string{endpointVariable + "http://collector.invalid:4317", "https_proxy=http://" + closedPort(t)}
	}, id: "proxy-in-the-way", text: "https_proxy sends", hint: "NO_PROXY"},
	{name: "proxy for loopback", make: server(takes, "/v1/traces", "HTTP_PROXY=http://127.0.0.1:9"),
		id: "proxy-loopback", status: Warning, text: "NO_PROXY does not name 127.0.0.1"},
	{name: "expired certificate", make: secure(func(c *x509.Certificate) {
		c.NotAfter = time.Date(2021, 2, 3, 12, 0, 0, 0, time.UTC)
		c.NotBefore = c.NotAfter.AddDate(-1, 0, 0)
	},
		&tls.Config{}, true), id: "certificate-expired", text: "has expired on 2021-02-03", hint: "renew"},
	{name: "certificate of tomorrow", make: secure(func(c *x509.Certificate) { c.NotBefore = time.Now().AddDate(0, 0, 2) },
		&tls.Config{}, true), id: "certificate-not-yet-valid", hint: "clock"},
	{name: "unknown authority", make: secure(func(*x509.Certificate) {}, &tls.Config{}, false),
		id: "certificate-authority", text: "CN=doctor test", hint: "OTEL_EXPORTER_OTLP_CERTIFICATE"},
	{name: "wrong host name", make: secure(func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"otel.example.com"} },
		&tls.Config{}, true), id: "certificate-name", text: "is for otel.example.com, not for 127.0.0.1"},
	{name: "client certificate missing", make: secure(func(*x509.Certificate) {}, &tls.Config{ClientAuth: tls.RequireAnyClientCert}, true),
		id: "client-certificate-missing", hint: "OTEL_EXPORTER_OTLP_CLIENT_KEY"},
	{name: "client certificate missing, TLS 1.2", make: secure(func(*x509.Certificate) {},
		&tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}, true), id: "client-certificate-missing"},
	{name: "client certificate missing, gRPC", make: func(t *testing.T) []string {
		c := forkspantest.NewCollector(t, forkspantest.WithClientAuth())
		return []string{endpointVariable + c.Endpoint(), protocolGRPC, "OTEL_EXPORTER_OTLP_CERTIFICATE=" + c.CAFile()}
	}, id: "client-certificate-missing"},
	{name: "certificate ends soon", make: secure(func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().AddDate(-1, 0, 0), time.Now().AddDate(0, 0, 3)
	},
		&tls.Config{}, true), id: "certificate-ends-soon", status: Warning},
	{name: "no certificate file", make: fixed(endpointVariable+"https://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_CERTIFICATE=/nowhere.pem"),
		id: "certificate-unreadable", text: "/nowhere.pem"},
	{name: "client key alone", make: fixed(endpointVariable+"https://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_CLIENT_KEY=/nowhere.pem"),
		id: "client-certificate-alone"},
	{name: "unsampled parent", make: fixed(sampledParent[:len(sampledParent)-1] + "0"), id: "parent-unsampled", hint: "-01"},
	{name: "malformed parent", make: fixed("traceparent=nonsense"), id: "parent-malformed"},
	{name: "two parents", make: fixed(sampledParent, "traceparent=00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"),
		id: "parent-two", status: Warning},
	{name: "exporter none", make: fixed("OTEL_TRACES_EXPORTER=none"), id: "exporter-none"},
	{name: "exporter console", make: fixed("OTEL_TRACES_EXPORTER=console"), id: "exporter-console"},
	{name: "exporter unknown", make: fixed("OTEL_TRACES_EXPORTER=jaeger"), id: "exporter-unknown", text: `"jaeger"`},
	{name: "exporter of Python", make: fixed("OTEL_TRACES_EXPORTER=otlp_proto_http"), id: "exporter-python", status: Warning,
		hint: "OTEL_TRACES_EXPORTER=otlp, or unset it; the protocol"},
	{name: "SDK disabled", make: fixed("OTEL_SDK_DISABLED=True"), id: "sdk-disabled"},
	{name: "sampler off", make: fixed("OTEL_TRACES_SAMPLER=always_off"), id: "sampler-off"},
	{name: "sampler off but for children", make: fixed("OTEL_TRACES_SAMPLER=parentbased_always_off", sampledParent), id: "sampler-off",
		status: Warning, text: "below the environment's parent is"},
	{name: "header that gRPC cannot send", make: fixed(endpointVariable+"http://127.0.0.1:9", protocolGRPC, "OTEL_EXPORTER_OTLP_HEADERS=a!b=c"),
		id: "headers-malformed", text: "read, or sent"},
	{name: "ratio of 0", make: fixed("OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=0"), id: "sampler-off"},
	{name: "bad ratio", make: fixed("OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=10%"),
		id: "sampler-argument-malformed", text: `"10%"`},
	{name: "not a ratio", make: fixed("OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=NaN"), id: "sampler-argument-malformed"},
	{name: "unknown sampler", make: fixed("OTEL_TRACES_SAMPLER=ratio"), id: "sampler-unknown"},
	{name: "unknown propagator", make: fixed("OTEL_PROPAGATORS=w3c"), id: "propagator-unknown"},
	{name: "foreign propagators", make: fixed("OTEL_PROPAGATORS=b3"), id: "propagator-foreign", status: Warning},
	{name: "malformed resource", make: fixed("OTEL_RESOURCE_ATTRIBUTES=service.name:x"), id: "resource-malformed"},
	{name: "malformed headers", make: fixed(endpointVariable+"http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_HEADERS=Authorization: Bearer hunter2"),
		id: "headers-malformed", hint: "not name: value"},
	{name: "malformed endpoint", make: fixed(endpointVariable + "http://:4318x"), id: "endpoint-malformed"},
	{name: "malformed timeout", make: fixed("OTEL_EXPORTER_OTLP_TIMEOUT=10s"), id: "number-malformed", hint: "milliseconds"},
	{name: "misspelt variable", make: fixed("OTEL_EXPORTER_OTLP_ENDPIONT=x"), id: "variable-unknown", status: Warning,
		hint: "OTEL_EXPORTER_OTLP_ENDPOINT is meant"},
	{name: "path twice", make: func(t *testing.T) []string {
		return []string{endpointVariable + "http://" + serveHTTP(t, nil, takes) + "/v1/traces", protocolHTTP}
	}, id: "endpoint-path-doubled"},
	{name: "wrong path", make: server(takes, "/"), id: "wrong-path", text: "status 404", hint: "/v1/traces answers"},
	{name: "no such name", make: fixed(endpointVariable + "http://collector.invalid:4318"), id: "name-unknown|name-failed", text: "collector.invalid"},
	{name: "black hole, HTTP", make: func(t *testing.T) []string {
		return []string{endpointVariable + "http://" + forkspantest.BlackHole(t), protocolHTTP}
	}, id: "endpoint-silent"},
	{name: "black hole, gRPC", make: func(t *testing.T) []string {
		return []string{endpointVariable + "http://" + forkspantest.BlackHole(t), protocolGRPC}
	}, id: "endpoint-silent"},
	{name: "black hole, TLS", make: func(t *testing.T) []string {
		return []string{endpointVariable + "https://" + forkspantest.BlackHole(t), protocolHTTP}
	}, id: "endpoint-silent"},
	{name: "an answer that never ends", make: server(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-protobuf")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}, "/v1/traces"), id: "endpoint-silent"},
	{name: "401", make: server(answers(401), "/v1/traces"), id: "unauthorized", hint: "OTEL_EXPORTER_OTLP_HEADERS"},
	{name: "403", make: server(answers(403), "/v1/traces"), id: "forbidden"},
	{name: "Unauthenticated", make: func(t *testing.T) []string {
		return []string{endpointVariable + "http://" + serveGRPC(t, codes.Unauthenticated), protocolGRPC}
	}, id: "unauthorized", text: "so it is"},
	{name: "no traces service", make: func(t *testing.T) []string {
		return []string{endpointVariable + "http://" + serveGRPC(t, codes.Unimplemented), protocolGRPC}
	}, id: "no-traces"},
	{name: "Unavailable", make: func(t *testing.T) []string {
		return []string{endpointVariable + "http://" + serveGRPC(t, codes.Unavailable), protocolGRPC}
	}, id: "busy", status: Warning, text: "so it is"},
	{name: "503", make: server(answers(503), "/v1/traces"), id: "busy", status: Warning},
	{name: "redirect", make: server(answers(307, "Location", "https://u:hunter2@elsewhere.example/v1/traces"), "/v1/traces"),
		id: "redirect", text: "elsewhere.example"},
	{name: "a web page", make: server(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>hello</html>")) }, "/v1/traces"),
		id: "not-otlp", text: "text/html"},
	{name: "clock an hour ahead", make: server(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		takes(w, r)
	}, "/v1/traces"), id: "clock-skew", status: Warning, text: "1h0m0s ahead of"},
}

func TestBrokenSetups(t *testing.T) {
	for _, s := range setups {
		t.Run(s.name, func(t *testing.T) {
			environ := s.make(t)
			timeout := 20 * time.Second
			if s.id == "endpoint-silent" {
				timeout = 2 * time.Second // nothing answers, however long it takes
			}
			r := Examine(t.Context(), Options{Environ: environ, Timeout: timeout, Version: "test"})
			if s.status == "" {
				s.status = Problem
			}
			var found *Check
			for i, c := range r.Checks {
				if strings.Contains("|"+s.id+"|", "|"+c.ID+"|") {
					found = &r.Checks[i]
				}
				if c.Status == Problem && strings.HasPrefix(c.ID, "certificate") && c.ID != s.id {
					t.Errorf("beside the fault: %+v", c)
				}
				if strings.Contains(c.Text+c.Hint, "hunter2") {
					t.Errorf("a secret: %+v", c)
				}
			}
			if found == nil || found.Status != s.status || !strings.Contains(found.Text, s.text) || !strings.Contains(found.Hint, s.hint) {
				t.Errorf("want %s %s with %q and the hint %q, got\n%+v", s.status, s.id, s.text, s.hint, r.Checks)
			}
			for _, setting := range r.Settings {
				if strings.Contains(setting.Value, "hunter2") {
					t.Errorf("a secret: %+v", setting)
				}
			}
		})
	}
}

func TestSoundSetups(t *testing.T) {
	plain, certified := forkspantest.NewCollector(t), forkspantest.NewCollector(t, forkspantest.WithClientAuth())
	tlsFiles := []string{
		"OTEL_EXPORTER_OTLP_CERTIFICATE=" + certified.CAFile(), "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=" + certified.ClientCertFile(),
		"OTEL_EXPORTER_OTLP_CLIENT_KEY=" + certified.ClientKeyFile(),
	}
	for _, protocol := range []string{"grpc", "http/protobuf", "http/json"} {
		for _, c := range []*forkspantest.Collector{plain, certified} {
			t.Run(protocol+" "+c.Endpoint()[:5], func(t *testing.T) {
				before := len(c.Spans())
				environ := append([]string{
					endpointVariable + c.Endpoint(), "OTEL_EXPORTER_OTLP_PROTOCOL=" + protocol, "OTEL_EXPORTER_OTLP_HEADERS=a=b%20c",
					sampledParent, "OTEL_TRACES_SAMPLER=parentbased_always_on", "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta",
				}, tlsFiles...)
				if c == plain {
					environ = environ[:len(environ)-len(tlsFiles)]
				}
				r := Examine(t.Context(), Options{Environ: environ, Timeout: 20 * time.Second, Send: true})
				for _, check := range r.Checks {
					if check.Status == Problem || check.Status == Warning {
						t.Errorf("%+v", check)
					}
				}
				if got := len(c.Spans()) - before; got != 1 {
					t.Errorf("%d spans arrived, want the test span", got)
				}
			})
		}
	}
}

// A backend that takes the request and not the span is found out by sending one.
func TestRejectedSpan(t *testing.T) {
	for _, protocol := range []string{protocolGRPC, protocolHTTP} {
		c := forkspantest.NewCollector(t)
		c.AnswerAll(forkspantest.Answer{Rejected: 1, Message: "quota"})
		environ := []string{endpointVariable + c.Endpoint(), protocol}
		for send, want := range map[bool]string{false: "answer", true: "span-rejected"} {
			r := Examine(t.Context(), Options{Environ: environ, Timeout: 20 * time.Second, Send: send})
			found := false
			for _, check := range r.Checks {
				found = found || check.ID == want
				if check.ID == "span-rejected" && !strings.Contains(check.Text, "quota") {
					t.Errorf("%+v", check)
				}
			}
			if !found {
				t.Errorf("%s: want %s, got %+v", protocol, want, r.Checks)
			}
		}
	}
}

func TestStores(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct{ name, id string }{{"a.db", "store"}, {"none.db", "store"}, {"damaged.db", "store-damaged"},
		{"file/x.db", "store-unwritable|store-unreadable"}, {"folder", "store-unreadable"}} {
		path := filepath.Join(dir, test.name)
		switch test.name {
		case "a.db":
			s, err := store.Open(t.Context(), path, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		case "damaged.db":
			if err := os.WriteFile(path, []byte(strings.Repeat("nonsense ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		case "file/x.db":
			if err := os.WriteFile(filepath.Dir(path), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		case "folder":
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		r := Examine(t.Context(), Options{Store: path})
		found := false
		for _, c := range r.Checks {
			found = found || strings.Contains("|"+test.id+"|", "|"+c.ID+"|") && (c.Status == Problem) == (test.id != "store")
		}
		if !found {
			t.Errorf("%s: want %s, got %+v", test.name, test.id, r.Checks)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "none.db")); err == nil {
		t.Error("a store was made")
	}
}

// It ends in time whatever the other side does, and at once when it is told to.
func TestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	Examine(ctx, Options{Environ: []string{endpointVariable + "http://" + forkspantest.BlackHole(t), protocolHTTP}, Timeout: time.Hour})
}
