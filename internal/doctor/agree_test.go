package doctor

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/forkspantest"
)

// agreement is an environment that the library and doctor have to understand in one way.
type agreement struct {
	name    string
	environ []string // of these, {plain} and {tls} are host and port of collectors, {ca}, {cert} and {key} files for the second
}

const (
	plainHTTP = endpointVariable + "http://{plain}"
	plainGRPC = "OTEL_EXPORTER_OTLP_ENDPOINT=http://{plain} OTEL_EXPORTER_OTLP_PROTOCOL=grpc"
	general   = "OTEL_EXPORTER_OTLP_"
	traces    = "OTEL_EXPORTER_OTLP_TRACES_"
	unsampled = "TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	client    = general + "CERTIFICATE={ca} " + general + "CLIENT_CERTIFICATE={cert} " + general + "CLIENT_KEY={key}"
)

// agree makes an agreement of variables with blanks between them; _ in a value stands for a blank.
func agree(name string, variables ...string) agreement {
	a := agreement{name: name}
	for _, v := range strings.Fields(strings.Join(variables, " ")) {
		key, value, _ := strings.Cut(v, "=")
		a.environ = append(a.environ, key+"="+strings.ReplaceAll(value, "_", " "))
	}
	return a
}

var agreements = []agreement{
	agree("nothing"),
	agree("gRPC", plainGRPC),
	agree("HTTP", plainHTTP, protocolHTTP),
	agree("JSON", plainHTTP, general+"PROTOCOL=http/json"),
	agree("blanks around a value", plainHTTP, general+"PROTOCOL=_http/protobuf_"),
	agree("no protocol", plainHTTP),
	agree("host and port", endpointVariable+"{plain}"),
	agree("host and port of TLS", endpointVariable+"{tls}", general+"INSECURE=false", client),
	agree("host and port of TLS, HTTP", endpointVariable+"{tls}", general+"INSECURE=FALSE", client, protocolHTTP),
	agree("insecure beside https", endpointVariable+"https://{tls}", general+"INSECURE=true", client),
	agree("insecure is no word", plainGRPC, general+"INSECURE=no"),
	agree("a path", tracesEndpoint+"http://{plain}/v1/traces"),
	agree("a path of the general variable", endpointVariable+"http://{plain}/v1/traces"),
	agree("a path below the base", tracesEndpoint+"http://{plain}/v1/traces", endpointVariable+"http://127.0.0.1:1", protocolHTTP),
	agree("the signal's protocol goes first", plainHTTP, general+"PROTOCOL=grpc", traces+"PROTOCOL=http/protobuf"),
	agree("the signal's headers go first", plainHTTP, protocolHTTP, general+"HEADERS=a=1", traces+"HEADERS=b=2"),
	agree("an empty variable is none", plainHTTP, protocolHTTP, tracesEndpoint, traces+"PROTOCOL=", general+"HEADERS="),
	agree("TLS and gRPC", endpointVariable+"https://{tls}", client, protocolGRPC),
	agree("TLS and HTTP", endpointVariable+"https://{tls}", client, protocolHTTP),
	agree("grpcs", endpointVariable+"grpcs://{tls}", client),
	agree("no such certificate", endpointVariable+"https://{tls}", general+"CERTIFICATE=/nowhere.pem"),
	agree("no such certificate and no TLS", plainGRPC, general+"CERTIFICATE=/nowhere.pem"),
	agree("a key alone", endpointVariable+"https://{tls}", general+"CERTIFICATE={ca}", general+"CLIENT_KEY={key}"),
	agree("a key alone and no TLS", plainGRPC, general+"CLIENT_KEY={key}"),
	agree("a certificate alone and no TLS", plainGRPC, general+"CLIENT_CERTIFICATE={cert}"),
	agree("a pair that does not fit", endpointVariable+"https://{tls}", general+"CERTIFICATE={ca}", general+"CLIENT_CERTIFICATE={key}", general+"CLIENT_KEY={key}"),
	agree("headers", plainHTTP, protocolHTTP, general+"HEADERS=X-Key=a%20b,,_y_=_2_"),
	agree("headers of gRPC", plainGRPC, general+"HEADERS=X-Key=a%20b,y=2"),
	agree("a header without a value", plainGRPC, general+"HEADERS=x=1,y"),
	agree("a header with a bad escape", plainHTTP, protocolHTTP, general+"HEADERS=x=1,y=%zz"),
	agree("a header that HTTP can send", plainHTTP, protocolHTTP, general+"HEADERS=a!b=1,c=%c3%a4,d=a%09b"),
	agree("a header's name that gRPC cannot send", plainGRPC, general+"HEADERS=a!b=1,c=2"),
	agree("a header's value that gRPC cannot send", plainGRPC, general+"HEADERS=a=%c3%a4,c=2"),
	agree("a header of connections and gRPC", plainGRPC, general+"HEADERS=keep-alive=1,c=2"),
	agree("a line's end in a header", plainHTTP, protocolHTTP, general+"HEADERS=a=b%0d%0ac,d=2"),
	agree("a user in the URL", endpointVariable+"http://me:pass@{plain}", protocolHTTP),
	agree("a user in the URL and a header", endpointVariable+"http://me:pass@{plain}", protocolHTTP, general+"HEADERS=Authorization=Bearer%20x"),
	agree("compression", plainHTTP, protocolHTTP, general+"COMPRESSION=gzip"),
	agree("no compression", plainHTTP, protocolHTTP, general+"COMPRESSION=gzip", traces+"COMPRESSION=none"),
	agree("unknown compression", plainHTTP, protocolHTTP, general+"COMPRESSION=zstd"),
	agree("unknown protocol", plainHTTP, general+"PROTOCOL=http"),
	agree("protocol in capitals", plainHTTP, general+"PROTOCOL=GRPC"),
	agree("no endpoint to read", endpointVariable+"http://h:99999"),
	agree("an unknown scheme", endpointVariable+"ftp://{plain}"),
	agree("a gRPC target over HTTP", endpointVariable+"dns:///x:1", protocolHTTP),
	agree("timeout", plainHTTP, protocolHTTP, general+"TIMEOUT=10s"),
	agree("timeout of 0", plainHTTP, protocolHTTP, general+"TIMEOUT=0"),
	agree("batches", plainHTTP, protocolHTTP, "OTEL_BSP_MAX_QUEUE_SIZE=-1 OTEL_BSP_SCHEDULE_DELAY=x"),
	agree("disabled", plainGRPC, "OTEL_SDK_DISABLED=True"),
	agree("disabled by no word", plainGRPC, "OTEL_SDK_DISABLED=1"),
	agree("enabled", plainGRPC, "OTEL_SDK_DISABLED=false"),
	agree("exporter", plainGRPC, "OTEL_TRACES_EXPORTER=_OTLP_"),
	agree("exporters", plainGRPC, "OTEL_TRACES_EXPORTER=none,otlp"),
	agree("no exporter", plainGRPC, "OTEL_TRACES_EXPORTER=none"),
	agree("unknown exporter", plainGRPC, "OTEL_TRACES_EXPORTER=jaeger"),
	agree("unknown exporter beside another", plainGRPC, "OTEL_TRACES_EXPORTER=jaeger,otlp"),
	{"exporter of Python", []string{endpointVariable + "http://{plain}", "OTEL_TRACES_EXPORTER=otlp_proto_grpc"}},
	{"sampler", []string{endpointVariable + "http://{plain}", "OTEL_TRACES_SAMPLER=Always_On"}},
	{"sampler off", []string{endpointVariable + "http://{plain}", "OTEL_TRACES_SAMPLER=always_off"}},
	{"sampler off for roots", []string{endpointVariable + "http://{plain}", "OTEL_TRACES_SAMPLER=parentbased_always_off"}},
	{"sampler off for roots, with a parent", []string{endpointVariable + "http://{plain}", "OTEL_TRACES_SAMPLER=parentbased_always_off", sampledParent}},
	{"sampler unknown", []string{endpointVariable + "http://{plain}", "OTEL_TRACES_SAMPLER=xray"}},
	agree("ratio 0", plainGRPC, "OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=0"),
	agree("ratio 1", plainGRPC, "OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=1.0"),
	agree("no ratio", plainGRPC, "OTEL_TRACES_SAMPLER=traceidratio"),
	agree("bad ratio", plainGRPC, "OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=2"),
	agree("unsampled parent", plainGRPC, unsampled),
	{"unsampled parent that is not heeded", []string{endpointVariable + "http://{plain}", unsampled, "OTEL_TRACES_SAMPLER=always_on"}},
	agree("malformed parent", plainGRPC, "traceparent=x"),
	agree("malformed parent before a good one", plainGRPC, "traceparent=x", unsampled),
	agree("propagators", plainGRPC, "OTEL_PROPAGATORS=w3c"),
}

// Without an endpoint, the exporter that is asked for sends to this machine, and so says doctor.
func TestEndpointOfAnExporterThatIsAskedFor(t *testing.T) {
	for protocol, want := range map[string]string{"": "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf": "http/protobuf"} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // the network is not looked at
		r := Examine(ctx, Options{Environ: []string{"OTEL_TRACES_EXPORTER=console, OTLP", protocol}})
		got := map[string]string{}
		for _, s := range r.Settings {
			got[s.Name] = s.Value
		}
		if got["endpoint"] != "localhost" || got["protocol"] != want {
			t.Errorf("%s: %v", protocol, r.Settings)
		}
	}
}

// What Init makes of an environment is what doctor says of it: where spans arrive, they arrive by the same protocol, at the same
// path and with the same headers; where none does, that is a problem; and each variable that Init finds fault with is named.
func TestAgreesWithTheLibrary(t *testing.T) {
	plain, secure := forkspantest.NewCollector(t), forkspantest.NewCollector(t, forkspantest.WithClientAuth())
	places := strings.NewReplacer("{plain}", plain.Addr(), "{tls}", secure.Addr(), "{ca}", secure.CAFile(), "{cert}", secure.ClientCertFile(),
		"{key}", secure.ClientKeyFile())
	requests := func() []forkspantest.Request { return append(plain.Requests(), secure.Requests()...) }
	for _, name := range os.Environ() {
		if name, _, _ = strings.Cut(name, "="); strings.HasPrefix(name, "OTEL_") || strings.HasPrefix(name, "FORKSPAN_") {
			t.Setenv(name, "")
		}
	}
	for _, a := range agreements {
		t.Run(a.name, func(t *testing.T) {
			var environ []string
			for _, variable := range a.environ {
				name, value, _ := strings.Cut(places.Replace(variable), "=")
				t.Setenv(name, value)
				environ = append(environ, name+"="+value)
			}
			before := len(requests())
			tracer, err := forkspan.Init(t.Context(), "agree", forkspan.WithoutGlobals(), forkspan.WithoutEnvironment())
			_, span := tracer.Start(t.Context(), "library")
			span.End()
			library := sent(requests()[before:])
			if err := tracer.Shutdown(t.Context()); err == nil { // else the collector has refused it
				library = sent(requests()[before:])
			}
			before = len(requests())
			r := Examine(t.Context(), Options{Environ: environ, Timeout: 20 * time.Second, Send: true})
			doctor := sent(requests()[before:])

			keeps := func(statuses ...Status) bool { // something is found that keeps spans away
				return slices.ContainsFunc(r.Checks, func(c Check) bool {
					return slices.Contains(statuses, c.Status) && c.ID != "parent-malformed" || c.ID == "endpoint-none"
				})
			}
			switch {
			case library == nil && !keeps(Problem, Warning):
				t.Error("the library sends nothing, doctor sees no fault")
			case library != nil && err == nil && keeps(Problem):
				t.Error("the library is well, doctor sees a problem")
			case library != nil && doctor == nil:
				t.Error("the library's span arrives, doctor's does not")
			case library != nil:
				if l, d := wayOf(library), wayOf(doctor); !maps.Equal(l, d) {
					t.Errorf("the library sends %v\ndoctor %v", l, d)
				}
			}
			for _, bad := range configErrors(err) {
				if !slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Status != OK && strings.Contains(c.Text, bad.Var) }) {
					t.Errorf("doctor does not say of %s: %v", bad.Var, bad)
				}
			}
			if t.Failed() {
				t.Logf("%q: %v\n%+v", environ, err, r.Checks)
			}
		})
	}
}

// sent is the request among several that has a span; nil for none.
func sent(requests []forkspantest.Request) *forkspantest.Request {
	for i := range requests {
		if len(requests[i].Spans) > 0 {
			return &requests[i]
		}
	}
	return nil
}

// wayOf is how a request came.
func wayOf(r *forkspantest.Request) map[string]string {
	way := map[string]string{"protocol": r.Protocol, "path": r.Path, "compression": r.Compression, "client": r.Client}
	for name, values := range r.Header {
		switch http.CanonicalHeaderKey(name) {
		case "User-Agent", "Content-Length", "Content-Type", "Content-Encoding", "Connection", "Accept-Encoding", "Te", "Grpc-Accept-Encoding",
			"Grpc-Timeout":
		default:
			way[name] = strings.Join(values, "|")
		}
	}
	return way
}

// configErrors are the settings that err finds fault with.
func configErrors(err error) (all []*forkspan.ConfigError) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	for _, err := range joined.Unwrap() {
		if bad, ok := errors.AsType[*forkspan.ConfigError](err); ok {
			all = append(all, bad)
		}
	}
	return all
}
