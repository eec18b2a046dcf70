package endpoint

import (
	"encoding/base64"
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
	GRPC = "grpc"
	HTTP = "http/protobuf"
	JSON = "http/json"
)

// The ports that collectors listen on (OTLP specification, "OTLP/gRPC Default Port" and "OTLP/HTTP Default Port").
const (
	PortGRPC = "4317"
	PortHTTP = "4318"
)

// tracesPath is where OTLP/HTTP takes spans, below the base URL that the general endpoint variable names.
const tracesPath = "/v1/traces"

// Endpoint is where spans go, taken apart from any of the forms in use.
type Endpoint struct {
	Secure bool   // TLS
	Bare   bool   // no scheme was given, so OTEL_EXPORTER_OTLP_INSECURE=false may ask for TLS
	Host   string // without port, without brackets; empty where Target is set
	Port   string // empty where none was given
	Path   string // as given, still escaped; empty or starting with a slash
	Query  string // as given, without the question mark
	User   *url.Userinfo
	Target string // a whole gRPC target, such as unix:///run/otel.sock; used as it is
}

// Parse reads an endpoint as opentelemetry-python's gRPC exporter does, and the URLs of OTLP/HTTP. A bare host and
// port, http, grpc and a leading // mean no TLS; https and grpcs mean TLS. (Python dials grpcs without TLS; a name that
// asks for TLS and sends in the clear is not copied.)
//
// Errors do not repeat the endpoint, which may hold a password.
func Parse(raw string) (Endpoint, error) {
	s := strings.TrimSpace(raw)
	if s == "" {
		return Endpoint{}, errors.New("empty endpoint")
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return Endpoint{}, errors.New("blank or control character in endpoint")
		}
	}
	var e Endpoint
	scheme, rest, found := strings.Cut(s, "://")
	switch {
	case found && !strings.ContainsAny(scheme, "/?#@"):
		switch scheme = strings.ToLower(scheme); scheme {
		case "http", "grpc":
		case "https", "grpcs":
			e.Secure = true
		case "unix", "dns", "passthrough":
			return parseTarget(s, scheme)
		default:
			return Endpoint{}, fmt.Errorf("unknown scheme %q", scheme)
		}
	case strings.HasPrefix(s, "//"):
		rest = s[2:]
	default:
		if name, _, ok := strings.Cut(s, ":"); ok && isTargetScheme(name) {
			if t, err := parseTarget(s, strings.ToLower(name)); err == nil {
				return t, nil
			}
		}
		rest, e.Bare = s, true
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
func parseTarget(s, scheme string) (Endpoint, error) {
	rest := s[len(scheme)+1:]
	name := strings.TrimLeft(rest, "/")
	if name == "" {
		return Endpoint{}, fmt.Errorf("nothing after %q", scheme+":")
	}
	if scheme == "dns" && !strings.HasPrefix(rest, "/") {
		// dns:4317 is the host "dns" with a port, as in a compose file.
		if _, err := strconv.Atoi(rest); err == nil {
			return Endpoint{}, errors.New("a host and port, not a target")
		}
	}
	return Endpoint{Target: scheme + ":" + rest}, nil
}

func (e *Endpoint) parseAuthority(s string) error {
	s, _, _ = strings.Cut(s, "#")
	s, e.Query, _ = strings.Cut(s, "?")
	authority := s
	if i := strings.IndexByte(s, '/'); i >= 0 {
		authority, e.Path = s[:i], s[i:]
	}
	if _, err := url.PathUnescape(e.Path); err != nil {
		return fmt.Errorf("parse path: %w", err)
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		u, err := url.Parse("http://" + authority[:i] + "@host")
		if err != nil {
			return errors.New("unreadable user and password")
		}
		e.User, authority = u.User, authority[i+1:]
	}
	host, port, err := splitHostPort(authority)
	if err != nil {
		return err
	}
	e.Host, e.Port = host, port
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
			return "", "", errors.New("unusable host")
		}
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || port[0] == '+' {
			return "", "", errors.New("unusable port")
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

// Protocol is the protocol to use when none was configured: OTLP/HTTP for its own port, or for a path where the port
// is not gRPC's, since vLLM's default of gRPC cannot work there; else grpc, as vLLM.
func (e Endpoint) Protocol() string {
	switch {
	case e.Target != "" || e.Port == PortGRPC:
		return GRPC
	case e.Port == PortHTTP || strings.Trim(e.Path, "/") != "":
		return HTTP
	}
	return GRPC
}

// DialTarget is what gRPC dials. Paths and queries mean nothing to gRPC and are dropped. Without a port it is 4317, where
// Python would dial port 443 or none.
func (e Endpoint) DialTarget() string {
	if e.Target != "" {
		return e.Target
	}
	return "dns:///" + e.HostPort(PortGRPC)
}

// HostPort joins host and port; an empty def leaves out a port that was not given.
func (e Endpoint) HostPort(def string) string {
	port := e.Port
	if port == "" {
		port = def
	}
	if port != "" {
		return net.JoinHostPort(e.Host, port)
	}
	if strings.Contains(e.Host, ":") {
		return "[" + e.Host + "]"
	}
	return e.Host
}

// scheme is http or https.
func (e Endpoint) scheme() string {
	if e.Secure {
		return "https"
	}
	return "http"
}

// URL is where OTLP/HTTP posts to. What is given with a scheme is taken as it is, the port being the scheme's own where there
// is none; a bare host gets OTLP's port and path.
func (e Endpoint) URL() *url.URL {
	u := &url.URL{Scheme: e.scheme(), RawQuery: e.Query}
	if e.Target != "" {
		u.Host, u.Path = "localhost", tracesPath
		return u
	}
	def := ""
	if e.Bare {
		def = PortHTTP
		if e.Path == "" {
			e.Path = tracesPath
		}
	}
	u.Host = e.HostPort(def)
	// A host in front: a path that begins with two slashes would be read as one.
	if parsed, err := url.Parse("http://h" + e.Path); err == nil {
		u.Path, u.RawPath = parsed.Path, parsed.RawPath
	} else {
		u.Path, _ = url.PathUnescape(e.Path)
	}
	return u
}

// Socket is the path of the unix socket to dial; the second result is false where the endpoint is none.
func (e Endpoint) Socket() (string, bool) {
	path, ok := strings.CutPrefix(e.Target, "unix:")
	if strings.HasPrefix(path, "//") {
		path = "/" + strings.TrimLeft(path, "/")
	}
	return path, ok
}

// Authorization is the header for the endpoint's user and password (RFC 7617), empty where it has none.
func (e Endpoint) Authorization() string {
	if e.User == nil {
		return ""
	}
	password, _ := e.User.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(e.User.Username()+":"+password))
}

// BelowBase adds /v1/traces to the path, for endpoints of the general variable (OTLP exporter specification,
// "Endpoint URLs for OTLP/HTTP").
func (e Endpoint) BelowBase() Endpoint {
	if e.Target == "" {
		e.Path = strings.TrimRight(e.Path, "/") + tracesPath
	}
	return e
}

// ForChildren is the endpoint as it goes into the environment: a form that Python's gRPC exporter, Go's exporters and
// this package read alike.
func (e Endpoint) ForChildren(protocol string) string {
	if e.Target != "" {
		return e.Target
	}
	if protocol == GRPC {
		u := url.URL{Scheme: e.scheme(), Host: e.HostPort(PortGRPC)}
		return u.String()
	}
	u := e.URL()
	u.User = e.User
	return u.String()
}
