package genaihttp

import (
	"net"
	"net/http"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"

	"forkspan.dev/forkspan/genai"
	"forkspan.dev/forkspan/internal/redact"
)

// Attribute names of OpenTelemetry's stable HTTP conventions.
// https://opentelemetry.io/docs/specs/semconv/http/http-spans/
const (
	keyMethod          = attribute.Key("http.request.method")
	keyStatus          = attribute.Key("http.response.status_code")
	keyRoute           = attribute.Key("http.route")
	keyPath            = attribute.Key("url.path")
	keyScheme          = attribute.Key("url.scheme")
	keyFullURL         = attribute.Key("url.full")
	keyServerAddress   = attribute.Key("server.address")
	keyServerPort      = attribute.Key("server.port")
	keyProtocolVersion = attribute.Key("network.protocol.version")
	keyErrorType       = attribute.Key("error.type")
	keyBodySize        = attribute.Key("http.response.body.size")
)

// method returns the method, or what the conventions call one that is not known: anybody can send any.
func method(r *http.Request) string {
	switch r.Method {
	case "":
		return http.MethodGet
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return r.Method
	}
	return "_OTHER"
}

// name is a span's name before more is known: method and route. The paths of LLM APIs are routes; other paths are not, since
// there may be any number of them.
func name(r *http.Request, api genai.API) string {
	switch {
	case r.Pattern != "":
		return method(r) + " " + route(r.Pattern)
	case api != genai.APIUnknown:
		return method(r) + " " + r.URL.Path
	}
	return method(r)
}

// route is the pattern of a http.ServeMux without its method.
func route(pattern string) string {
	if _, path, ok := strings.Cut(pattern, " "); ok {
		return strings.TrimLeft(path, " ")
	}
	return pattern
}

// path returns the URL's path without secrets. The query is never recorded: it may hold keys.
func path(r *http.Request, api genai.API) string {
	if api != genai.APIUnknown {
		return r.URL.Path
	}
	return redact.String(r.URL.Path)
}

// serverAttributes describe a request that comes in.
func serverAttributes(attrs []attribute.KeyValue, r *http.Request, api genai.API) []attribute.KeyValue {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	attrs = append(attrs,
		keyMethod.String(method(r)),
		keyPath.String(path(r, api)),
		keyScheme.String(scheme),
		keyProtocolVersion.String(protocol(r.ProtoMajor, r.ProtoMinor)))
	if r.Pattern != "" {
		attrs = append(attrs, keyRoute.String(route(r.Pattern)))
	}
	host, port := hostPort(r.Host)
	if host != "" {
		attrs = append(attrs, keyServerAddress.String(host))
	}
	if port != 0 {
		attrs = append(attrs, keyServerPort.Int(port))
	}
	return attrs
}

// clientAttributes describe a request that goes out and is none to an LLM.
func clientAttributes(attrs []attribute.KeyValue, r *http.Request) []attribute.KeyValue {
	host, port := upstream(r)
	attrs = append(attrs,
		keyMethod.String(method(r)),
		keyFullURL.String(r.URL.Scheme+"://"+r.URL.Host+redact.String(r.URL.EscapedPath())),
		keyServerAddress.String(host))
	if port != 0 {
		attrs = append(attrs, keyServerPort.Int(port))
	}
	return attrs
}

// upstream returns where a request goes.
func upstream(r *http.Request) (host string, port int) {
	host, port = hostPort(r.URL.Host)
	if port == 0 {
		port = 80
		if r.URL.Scheme == "https" || r.URL.Scheme == "wss" {
			port = 443
		}
	}
	return host, port
}

func hostPort(s string) (host string, port int) {
	if !strings.Contains(s, ":") {
		return s, 0
	}
	host, service, err := net.SplitHostPort(s)
	if err != nil {
		return strings.Trim(s, "[]"), 0
	}
	port, _ = strconv.Atoi(service) // 0 for a name
	return host, port
}

func protocol(major, minor int) string {
	switch {
	case major == 1 && minor == 1:
		return "1.1"
	case major == 1:
		return "1.0"
	}
	return strconv.Itoa(major)
}
