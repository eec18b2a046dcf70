package forward

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"forkspan.dev/forkspan/internal/endpoint"
	"forkspan.dev/forkspan/internal/redact"
	"forkspan.dev/forkspan/internal/store"
)

// DefaultTimeout is the OTLP exporter specification's, for one request.
const DefaultTimeout = 10 * time.Second

// maxGRPC is what gRPC servers, and with them collectors, take by default, in bytes.
const maxGRPC = 4 << 20

// Backend is where requests go, and how.
type Backend struct {
	Protocol string // grpc, http/protobuf or http/json
	Address  string // grpc: the dial target; else the URL to post to
	Socket   string // a unix socket to post through; empty for TCP
	TLS      *tls.Config
	Headers  map[string]string
	Gzip     bool
	Timeout  time.Duration // for one try; 0 when the user has not set any
}

// Target is the backend as the store keeps it: without what may be secret.
func (b *Backend) Target() store.Target {
	t := store.Target{Protocol: b.Protocol, Address: b.Address}
	var secret bool
	if u, err := url.Parse(b.Address); err == nil && u.Host != "" {
		secret = u.RawQuery != "" || u.User != nil
		u.RawQuery, u.User, u.Fragment = "", nil, ""
		t.Address = u.String()
	}
	if safe := redact.String(t.Address); safe != t.Address {
		t.Address, secret = safe, true
	}
	switch hostPort, tcp := strings.CutPrefix(b.Address, "passthrough:///"); {
	case b.Socket != "":
		t.Address = "unix:" + b.Socket
	case tcp && b.TLS != nil:
		t.Address = "https://" + hostPort
	case tcp:
		t.Address = "http://" + hostPort
	}
	if secret {
		t.Needs = append(t.Needs, "address")
	}
	for _, name := range slices.Sorted(maps.Keys(b.Headers)) {
		t.Needs = append(t.Needs, "header "+name)
	}
	if b.TLS != nil && b.TLS.RootCAs != nil {
		t.Needs = append(t.Needs, "certificate authority")
	}
	if b.TLS != nil && len(b.TLS.Certificates) > 0 {
		t.Needs = append(t.Needs, "client certificate")
	}
	t.Identity = b.identity(secret)
	return t
}

// maxRequest is the size in bytes above which a request is split before it is sent; 0 for none.
func (b *Backend) maxRequest() int {
	if b.Protocol == endpoint.GRPC {
		return maxGRPC
	}
	return 0
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

// Find returns the backend at an endpoint, with what the environment says beside; for an empty endpoint that of the
// environment, nil when it names none. Headers and certificates of the environment are not taken to a host that is not its own.
func Find(to string, lookup func(name string) (string, bool)) (*Backend, error) {
	if to == "" {
		return FromEnviron(lookup)
	}
	where, err := endpoint.Parse(to)
	if err != nil {
		return nil, fmt.Errorf("--forward: %w", err)
	}
	theirs := false
	if value, _ := variables(lookup).get("ENDPOINT"); value != "" {
		other, err := endpoint.Parse(value)
		theirs = err != nil || other.Host != where.Host || other.Target != where.Target
	}
	b, err := FromEnviron(func(name string) (string, bool) {
		switch {
		case name == "OTEL_EXPORTER_OTLP_ENDPOINT":
			return to, true
		case name == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", theirs:
			return "", false
		}
		return lookup(name)
	})
	if err != nil {
		return nil, errors.New(strings.Replace(err.Error(), "OTEL_EXPORTER_OTLP_ENDPOINT", "--forward", 1))
	}
	return b, nil
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
	b := &Backend{Headers: make(map[string]string)}
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
		key = strings.ToLower(strings.TrimSpace(key))
		if !isHeaderName(key) {
			return fmt.Errorf("%s: %q is no name of a header", name, key)
		}
		if !isHeaderValue(decoded) {
			return fmt.Errorf("%s: the value of %s has characters that no header may have", name, key)
		}
		b.Headers[key] = decoded
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

// isHeaderName tells whether a name in lower case can be sent as a header and as gRPC metadata (RFC 9110, section 5.1; gRPC over
// HTTP2, "Custom-Metadata").
func isHeaderName(name string) bool {
	for _, c := range []byte(name) {
		if ('a' > c || c > 'z') && ('0' > c || c > '9') && !strings.ContainsRune("-_.", rune(c)) {
			return false
		}
	}
	return name != "" && !strings.HasPrefix(name, "grpc-") && name != "host" && name != "content-length" && name != "content-type"
}

func isHeaderValue(value string) bool {
	for _, c := range []byte(value) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
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
