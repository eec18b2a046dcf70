package forward

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"forkspan.dev/forkspan/internal/endpoint"
)

// defaultTimeout is the OTLP exporter specification's, for one request.
const defaultTimeout = 10 * time.Second

// Backend is where requests go, and how.
type Backend struct {
	Protocol string // grpc, http/protobuf or http/json
	Address  string // grpc: the dial target; else the URL to post to
	Socket   string // a unix socket to post through; empty for TCP
	TLS      *tls.Config
	Headers  map[string]string
	Gzip     bool
	Timeout  time.Duration // for one try
}

// Name is the backend as the user should see it, without what may be secret in a URL.
func (b *Backend) Name() string {
	if b.Socket != "" {
		return "unix:" + b.Socket
	}
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
	value, variable := env.get("ENDPOINT")
	if value == "" {
		return nil, nil
	}
	where, err := endpoint.Parse(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	b := &Backend{Timeout: defaultTimeout, Headers: make(map[string]string)}
	b.Protocol, _ = env.get("PROTOCOL")
	switch b.Protocol {
	case "":
		b.Protocol = where.Protocol()
	case endpoint.GRPC, endpoint.HTTP, endpoint.JSON:
	default:
		_, name := env.get("PROTOCOL")
		return nil, fmt.Errorf("%s: unknown protocol %q", name, b.Protocol)
	}
	if insecure, _ := env.get("INSECURE"); where.Bare && strings.EqualFold(insecure, "false") {
		where.Secure = true
	}
	if where.User != nil {
		b.Headers["authorization"] = where.Authorization()
	}
	if err := b.setAddress(where, variable); err != nil {
		return nil, err
	}
	if where.Secure {
		if b.TLS, err = env.tls(); err != nil {
			return nil, err
		}
	}
	return b, env.transport(b)
}

// setAddress says what to dial or post to. A general endpoint is the base of the path for traces.
func (b *Backend) setAddress(where endpoint.Endpoint, variable string) error {
	if b.Protocol == endpoint.GRPC {
		b.Address = where.Target
		if b.Address == "" {
			b.Address = "passthrough:///" + where.HostPort(endpoint.PortGRPC)
		}
		return nil
	}
	var isSocket bool
	if b.Socket, isSocket = where.Socket(); where.Target != "" && !isSocket {
		return fmt.Errorf("%s: a gRPC target, which %s cannot dial", variable, b.Protocol)
	}
	if variable == "OTEL_EXPORTER_OTLP_ENDPOINT" {
		where = where.BelowBase()
	}
	b.Address = where.URL().String()
	return nil
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
		n, err := strconv.ParseInt(ms, 10, 64)
		if err != nil || n <= 0 || n > math.MaxInt64/int64(time.Millisecond) {
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
