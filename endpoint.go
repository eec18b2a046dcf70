package forkspan

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// The OTLP protocols, as OTEL_EXPORTER_OTLP_PROTOCOL spells them.
const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"
	protocolJSON = "http/json"
)

// The ports that collectors listen on (OTLP specification, "OTLP/gRPC Default Port" and "OTLP/HTTP Default Port").
const (
	portGRPC = "4317"
	portHTTP = "4318"
)

// tracesPath is where OTLP/HTTP takes spans, below the base URL that the general endpoint variable names.
const tracesPath = "/v1/traces"

// endpoint is where spans go, taken apart from any of the forms in use. It exists because neither Go's exporters nor
// net/url read what vLLM's Python reads: to them localhost:4317 is a URL with the scheme localhost.
type endpoint struct {
	secure   bool   // TLS
	implicit bool   // no scheme was given, so OTEL_EXPORTER_OTLP_INSECURE=false may ask for TLS
	host     string // without port, without brackets; empty where target is set
	port     string // empty where none was given
	path     string // as given, still escaped; empty or starting with a slash
	query    string // as given, without the question mark
	user     *url.Userinfo
	target   string // a whole gRPC target, such as unix:///run/otel.sock; used as it is
}

// parseEndpoint reads an endpoint as opentelemetry-python's gRPC exporter does, and the URLs of OTLP/HTTP. A bare host and
// port, http, grpc and a leading // mean no TLS; https and grpcs mean TLS. (Python dials grpcs without TLS; a name that
// asks for TLS and sends in the clear is not copied.)
func parseEndpoint(raw string) (endpoint, error) {
	s := strings.TrimSpace(raw)
	if s == "" {
		return endpoint{}, errors.New("empty endpoint")
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return endpoint{}, errors.New("blank or control character in endpoint")
		}
	}
	var e endpoint
	scheme, rest, found := strings.Cut(s, "://")
	switch {
	case found && !strings.ContainsAny(scheme, "/?#@"):
		switch scheme = strings.ToLower(scheme); scheme {
		case "http", "grpc":
		case "https", "grpcs":
			e.secure = true
		case "unix", "dns", "passthrough":
			return parseTarget(s, scheme)
		default:
			return endpoint{}, fmt.Errorf("unknown scheme %q", scheme)
		}
	case strings.HasPrefix(s, "//"):
		rest = s[2:]
	default:
		if name, _, ok := strings.Cut(s, ":"); ok && isTargetScheme(name) {
			if t, err := parseTarget(s, strings.ToLower(name)); err == nil {
				return t, nil
			}
		}
		rest, e.implicit = s, true
	}
	return e, e.parseAuthority(rest)
}

// isTargetScheme reports whether name begins a gRPC target that may stand without slashes (grpc/naming.md).
func isTargetScheme(name string) bool {
	switch strings.ToLower(name) {
	case "unix", "unix-abstract", "dns":
		return true
	}
	return false
}

// parseTarget takes a gRPC target as it is; only unix sockets can be dialled for OTLP/HTTP as well.
func parseTarget(s, scheme string) (endpoint, error) {
	rest := s[len(scheme)+1:]
	name := strings.TrimLeft(rest, "/")
	if name == "" {
		return endpoint{}, fmt.Errorf("nothing after %q", scheme+":")
	}
	if scheme == "dns" && !strings.HasPrefix(rest, "/") {
		// dns:4317 is the host "dns" with a port, as in a compose file.
		if _, err := strconv.Atoi(rest); err == nil {
			return endpoint{}, errors.New("a host and port, not a target")
		}
	}
	return endpoint{target: scheme + ":" + rest}, nil
}

func (e *endpoint) parseAuthority(s string) error {
	s, _, _ = strings.Cut(s, "#")
	s, e.query, _ = strings.Cut(s, "?")
	authority := s
	if i := strings.IndexByte(s, '/'); i >= 0 {
		authority, e.path = s[:i], s[i:]
	}
	if _, err := url.PathUnescape(e.path); err != nil {
		return fmt.Errorf("parse path: %w", err)
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		u, err := url.Parse("http://" + authority[:i] + "@host")
		if err != nil {
			return errors.New("unreadable user and password")
		}
		e.user, authority = u.User, authority[i+1:]
	}
	host, port, err := splitHostPort(authority)
	if err != nil {
		return err
	}
	e.host, e.port = host, port
	return nil
}

// splitHostPort is net.SplitHostPort with an optional port and bare IPv6 addresses.
func splitHostPort(s string) (host, port string, err error) {
	if isIPv6(s) {
		return s, "", nil
	}
	switch {
	case strings.HasPrefix(s, "["):
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", "", errors.New("missing ] after IPv6 address")
		}
		host = strings.Replace(s[1:end], "%25", "%", 1)
		if !isIPv6(host) {
			return "", "", errors.New("no IPv6 address between [ and ]")
		}
		if rest := s[end+1:]; rest != "" {
			if rest[0] != ':' {
				return "", "", errors.New("unexpected text after ]")
			}
			port = rest[1:]
			if port == "" {
				return "", "", errors.New("missing port after :")
			}
		}
	default:
		var hasPort bool
		host, port, hasPort = strings.Cut(s, ":")
		if hasPort && port == "" {
			return "", "", errors.New("missing port after :")
		}
		if !isHostName(host) {
			return "", "", fmt.Errorf("unusable host %q", host)
		}
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || port[0] == '+' {
			return "", "", fmt.Errorf("unusable port %q", port)
		}
		port = strconv.FormatUint(n, 10)
	}
	return host, port, nil
}

// isIPv6 accepts addresses with a zone, as long as that looks like an interface's name.
func isIPv6(s string) bool {
	addr, err := netip.ParseAddr(s)
	return err == nil && addr.Is6() && (addr.Zone() == "" || isHostName(addr.Zone()))
}

// isHostName accepts ASCII names and IPv4 addresses; underscores are no host names by the book, but compose files have them.
func isHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	return true
}

// protocolFor is the protocol to use when none was configured: OTLP/HTTP for its own port, or for a path where the port
// is not gRPC's, since vLLM's default of gRPC cannot work there; else grpc, as vLLM.
func (e endpoint) protocolFor() string {
	switch {
	case e.target != "" || e.port == portGRPC:
		return protocolGRPC
	case e.port == portHTTP || strings.Trim(e.path, "/") != "":
		return protocolHTTP
	}
	return protocolGRPC
}

// dialTarget is what gRPC dials. Paths and queries mean nothing to gRPC and are dropped. Without a port it is 4317, where
// Python would dial port 443 or none.
func (e endpoint) dialTarget() string {
	if e.target != "" {
		return e.target
	}
	return "dns:///" + e.hostPort(portGRPC)
}

// hostPort joins host and port; an empty def leaves out a port that was not given.
func (e endpoint) hostPort(def string) string {
	port := e.port
	if port == "" {
		port = def
	}
	if port != "" {
		return net.JoinHostPort(e.host, port)
	}
	if strings.Contains(e.host, ":") {
		return "[" + e.host + "]"
	}
	return e.host
}

// scheme is http or https.
func (e endpoint) scheme() string {
	if e.secure {
		return "https"
	}
	return "http"
}

// httpURL is where OTLP/HTTP posts to. A bare host gets OTLP's port; a URL without one has its scheme's.
func (e endpoint) httpURL() *url.URL {
	u := &url.URL{Scheme: e.scheme(), RawQuery: e.query}
	if e.target != "" {
		u.Host, u.Path = "localhost", tracesPath
		return u
	}
	def := ""
	if e.implicit {
		def = portHTTP
	}
	u.Host = e.hostPort(def)
	if parsed, err := url.Parse(e.path); err == nil && e.path != "" && !strings.HasPrefix(e.path, "//") {
		u.Path, u.RawPath = parsed.Path, parsed.RawPath
	} else {
		u.Path, _ = url.PathUnescape(e.path)
	}
	return u
}

// belowBase adds /v1/traces to the path, for endpoints of the general variable (OTLP exporter specification,
// "Endpoint URLs for OTLP/HTTP").
func (e endpoint) belowBase() endpoint {
	if e.target == "" {
		e.path = strings.TrimRight(e.path, "/") + tracesPath
	}
	return e
}

// forChildren is the endpoint as it goes into the environment: a form that Python's gRPC exporter, Go's exporters and
// this package read alike.
func (e endpoint) forChildren(protocol string) string {
	if e.target != "" {
		return e.target
	}
	if protocol == protocolGRPC {
		u := url.URL{Scheme: e.scheme(), Host: e.hostPort(portGRPC)}
		return u.String()
	}
	u := e.httpURL()
	u.User = e.user
	return u.String()
}
