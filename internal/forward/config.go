package forward

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// The OTLP protocols, as OTEL_EXPORTER_OTLP_PROTOCOL spells them.
const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"
	protocolJSON = "http/json"
)

// defaultTimeout is the OTLP exporter specification's, for one request.
const defaultTimeout = 10 * time.Second

// Backend is where requests go, and how.
type Backend struct {
	Protocol string // grpc, http/protobuf or http/json
	Address  string // grpc: the dial target; else the URL to post to
	TLS      *tls.Config
	Headers  map[string]string
	Gzip     bool
	Timeout  time.Duration // for one try
}

// Name is the backend as the user should see it, without what may be secret in a URL.
func (b *Backend) Name() string {
	u, err := url.Parse(b.Address)
	if err != nil || u.Host == "" {
		return strings.TrimPrefix(b.Address, "passthrough:///")
	}
	return u.Host
}

// variables reads OTEL_EXPORTER_OTLP_TRACES_NAME, else OTEL_EXPORTER_OTLP_NAME.
type variables func(name string) (string, bool)

func (v variables) get(name string) (value, variable string) {
	for _, prefix := range []string{"OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"} {
		if value, _ := v(prefix + name); strings.TrimSpace(value) != "" {
			return strings.TrimSpace(value), prefix + name
		}
	}
	return "", ""
}

// FromEnviron returns the backend that the environment names for traces, nil when it names none. An error says which
// variable cannot be used and why.
func FromEnviron(lookup func(name string) (string, bool)) (*Backend, error) {
	env := variables(lookup)
	endpoint, variable := env.get("ENDPOINT")
	if endpoint == "" {
		return nil, nil
	}
	where, err := parseEndpoint(endpoint)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	b := &Backend{Timeout: defaultTimeout, Headers: make(map[string]string)}
	b.Protocol, _ = env.get("PROTOCOL")
	switch b.Protocol {
	case "":
		b.Protocol = where.protocol()
	case protocolGRPC, protocolHTTP, protocolJSON:
	default:
		_, name := env.get("PROTOCOL")
		return nil, fmt.Errorf("%s: unknown protocol %q", name, b.Protocol)
	}
	secure := where.secure
	if insecure, _ := env.get("INSECURE"); where.bare && strings.EqualFold(insecure, "false") {
		secure = true
	}
	b.Address = where.address(b.Protocol, secure, !strings.Contains(variable, "TRACES"))
	if secure {
		if b.TLS, err = env.tls(); err != nil {
			return nil, err
		}
	}
	return b, env.transport(b)
}

// transport reads headers, compression and timeout into b.
func (v variables) transport(b *Backend) error {
	list, name := v.get("HEADERS")
	for item := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		key, value, ok := strings.Cut(item, "=")
		decoded, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || err != nil {
			return fmt.Errorf("%s: not a list of name=value", name) // the value may be a secret
		}
		b.Headers[strings.ToLower(strings.TrimSpace(key))] = decoded
	}
	compression, _ := v.get("COMPRESSION")
	b.Gzip = compression == "gzip"
	if ms, name := v.get("TIMEOUT"); ms != "" {
		n, err := strconv.Atoi(ms)
		if err != nil || n <= 0 {
			return fmt.Errorf("%s: %q is not a number of milliseconds", name, ms)
		}
		b.Timeout = time.Duration(n) * time.Millisecond
	}
	return nil
}

func (v variables) tls() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if file, name := v.get("CERTIFICATE"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: no certificate in %s", name, file)
		}
	}
	cert, name := v.get("CLIENT_CERTIFICATE")
	key, _ := v.get("CLIENT_KEY")
	if cert != "" && key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// endpoint is an endpoint variable taken apart.
type endpoint struct {
	secure bool
	bare   bool   // given without a scheme
	host   string // with port, if one was given
	port   string
	path   string // with query
	target string // a gRPC target that is dialled as it is
}

func parseEndpoint(s string) (endpoint, error) {
	scheme, rest, found := strings.Cut(s, "://")
	e := endpoint{bare: !found}
	switch strings.ToLower(scheme) {
	case "http", "grpc":
	case "https", "grpcs":
		e.secure = true
	case "unix", "dns", "passthrough":
		return endpoint{target: s}, nil
	default:
		if found {
			return e, fmt.Errorf("unknown scheme %q", scheme)
		}
		if strings.HasPrefix(s, "unix:") || strings.HasPrefix(s, "dns:") {
			return endpoint{target: s}, nil
		}
		rest = strings.TrimPrefix(s, "//")
	}
	u, err := url.Parse("http://" + rest)
	if err != nil {
		return e, errors.New("unusable endpoint") // the URL may hold a password
	}
	if u.Hostname() == "" {
		return e, errors.New("no host in the endpoint")
	}
	e.host, e.port, e.path = u.Host, u.Port(), u.RequestURI()
	if u.Path == "" {
		e.path = ""
	}
	return e, nil
}

// protocol is what an endpoint speaks when no variable says so: HTTP where its port or a path shows it, else gRPC, as vLLM has it.
func (e endpoint) protocol() string {
	if e.target == "" && (e.port == "4318" || e.port != "4317" && strings.Trim(e.path, "/") != "") {
		return protocolHTTP
	}
	return protocolGRPC
}

// address is what to dial or post to. A general endpoint is the base of the path for traces.
func (e endpoint) address(protocol string, secure, general bool) string {
	if e.target != "" {
		return e.target
	}
	host := e.host
	if protocol == protocolGRPC {
		if e.port == "" {
			host = net.JoinHostPort(strings.Trim(host, "[]"), "4317")
		}
		return "passthrough:///" + host
	}
	scheme := "http"
	if secure {
		scheme = "https"
	}
	if e.port == "" && e.bare {
		host = net.JoinHostPort(strings.Trim(host, "[]"), "4318")
	}
	path := e.path
	if general || e.bare && path == "" {
		path = strings.TrimRight(path, "/") + "/v1/traces"
	}
	return scheme + "://" + host + path
}
