package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"forkspan.dev/forkspan/internal/endpoint"
	"forkspan.dev/forkspan/internal/redact"
)

// target is where traces go, and how.
type target struct {
	where    endpoint.Endpoint
	general  bool // from the variable for all signals, so that /v1/traces is added
	variable string
	protocol string
	url      *url.URL // what OTLP/HTTP posts to
	headers  map[string]string
	gzip     bool
	tls      *tls.Config // with what was configured; also where the endpoint is not secure
}

const fromDefault = "default"

// resolve reads the settings of the export, and finds what is wrong with them.
func (d *examination) resolve() {
	d.checkSwitches()
	d.checkNames()
	t := &target{headers: map[string]string{}, tls: &tls.Config{MinVersion: tls.VersionTLS12}}
	usable := d.resolveEndpoint(t)
	usable = d.resolveProtocol(t) && usable
	d.resolveHeaders(t)
	usable = d.resolveTLS(t) && usable
	d.resolveTransport(t)
	if usable && t.variable != "" {
		d.target = t
	}
}

// checkSwitches looks at the variables that keep a process from exporting at all.
func (d *examination) checkSwitches() {
	switch _, value := d.env.first("OTEL_SDK_DISABLED"); strings.ToLower(value) {
	case "":
	case "true":
		d.add(Export, "sdk-disabled", Problem, "OTEL_SDK_DISABLED=true: no SDK makes spans", "unset OTEL_SDK_DISABLED")
	case "false":
	default:
		d.add(Export, "sdk-disabled-malformed", Problem, fmt.Sprintf("OTEL_SDK_DISABLED=%q is neither true nor false", shown(value)),
			"unset OTEL_SDK_DISABLED")
	}
	_, value := d.env.first("OTEL_TRACES_EXPORTER")
	if value == "" {
		d.setting("exporter", "otlp", fromDefault)
		return
	}
	d.setting("exporter", shown(value), "OTEL_TRACES_EXPORTER")
	var otlp, python, console bool
	var unknown []string
	for name := range strings.SplitSeq(strings.ToLower(value), ",") {
		switch name = strings.TrimSpace(name); name {
		case "otlp":
			otlp = true
		case "otlp_proto_grpc", "otlp_proto_http":
			python = true
		case "console", "logging":
			console = true
		case "none", "":
		default:
			unknown = append(unknown, strconv.Quote(name))
		}
	}
	const hint = "OTEL_TRACES_EXPORTER=otlp, or unset it"
	switch {
	case len(unknown) > 0:
		d.add(Export, "exporter-unknown", Problem, "OTEL_TRACES_EXPORTER names an exporter that is none of otlp, console and none: "+
			shown(strings.Join(unknown, ", ")), hint)
	case python:
		d.add(Export, "exporter-python", Warning, "OTEL_TRACES_EXPORTER="+shown(value)+" is for Python alone: programs with the forkspan "+
			"library, and most other SDKs, do not know that exporter", hint+"; the protocol is OTEL_EXPORTER_OTLP_TRACES_PROTOCOL's matter")
	case otlp:
	case console:
		d.add(Export, "exporter-console", Problem, "OTEL_TRACES_EXPORTER="+shown(value)+": spans are printed, and sent nowhere", hint)
	default:
		d.add(Export, "exporter-none", Problem, "OTEL_TRACES_EXPORTER="+shown(value)+": spans are sent nowhere", hint)
	}
}

// names tells whether a list has a name, in any letter case.
func names(list, name string) bool {
	for item := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.TrimSpace(item), name) {
			return true
		}
	}
	return false
}

// resolveEndpoint finds out where traces go.
func (d *examination) resolveEndpoint(t *target) bool {
	variable, value := d.env.otlp("ENDPOINT")
	if d.Endpoint != "" {
		variable, value = "--endpoint", d.Endpoint
	}
	if _, exporters := d.env.first("OTEL_TRACES_EXPORTER"); value == "" && names(exporters, "otlp") {
		d.setting("endpoint", "localhost", fromDefault+" of OTEL_TRACES_EXPORTER")
		t.variable, t.where, t.general = "OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.Endpoint{Host: "localhost", Bare: true}, true
		return true
	}
	if value == "" {
		d.setting("endpoint", "none", fromDefault)
		d.add(Export, "endpoint-none", Info, "no endpoint is set: programs with the forkspan library send no spans, "+
			"other SDKs send to localhost", "forkspan run -- COMMAND sets one; or OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:4318")
		return false
	}
	where, err := endpoint.Parse(value)
	d.setting("endpoint", shownEndpoint(value), variable)
	if err != nil {
		d.add(Export, "endpoint-malformed", Problem, variable+" cannot be read: "+err.Error(), variable+"=http://HOST:4318")
		return false
	}
	t.variable, t.where, t.general = variable, where, variable == "OTEL_EXPORTER_OTLP_ENDPOINT"
	if where.User != nil {
		t.headers["authorization"] = where.Authorization()
	}
	return true
}

// resolveProtocol finds out how spans are sent, and with that what OTLP/HTTP posts to.
func (d *examination) resolveProtocol(t *target) bool {
	variable, value := d.env.otlp("PROTOCOL")
	if d.Protocol != "" {
		variable, value = "--protocol", d.Protocol
	}
	switch value {
	case "":
		variable, value = fromDefault, t.where.Protocol()
		if t.variable != "" && t.where.Port != "" {
			variable = "default for the endpoint"
		}
	case endpoint.GRPC, endpoint.HTTP, endpoint.JSON:
	default:
		d.setting("protocol", shown(value), variable)
		d.add(Export, "protocol-unknown", Problem, fmt.Sprintf("%s=%s is no OTLP protocol; SDKs refuse it, or use their own default",
			variable, shown(value)), variable+"=grpc, http/protobuf or http/json"+likely(value))
		return false
	}
	t.protocol = value
	d.setting("protocol", value, variable)
	if t.variable == "" {
		return true
	}
	if t.protocol == endpoint.GRPC {
		if strings.Trim(t.where.Path, "/") != "" {
			d.add(Export, "endpoint-path-ignored", Warning, fmt.Sprintf("gRPC has no paths: %s of %s is left out",
				shown(t.where.Path), t.variable), "http/protobuf is the protocol for endpoints with a path")
		}
	} else if _, socket := t.where.Socket(); t.where.Target != "" && !socket {
		d.add(Export, "endpoint-target", Problem, t.variable+" is a gRPC target, which "+t.protocol+" cannot dial", "use grpc, or a URL")
		return false
	}
	posted := t.where
	if t.general {
		if strings.HasSuffix(strings.TrimRight(posted.Path, "/"), "/v1/traces") && t.protocol != endpoint.GRPC {
			d.add(Export, "endpoint-path-doubled", Problem, "OTEL_EXPORTER_OTLP_ENDPOINT ends in /v1/traces, and exporters add that once more",
				"take /v1/traces off it, or set OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
		}
		posted = posted.BelowBase()
	}
	t.url = posted.URL()
	return true
}

func likely(protocol string) string {
	switch strings.ToLower(protocol) {
	case "http", "https", "http/proto", "protobuf", "http_protobuf", "http-protobuf", "httpprotobuf":
		return ": http/protobuf is meant"
	}
	return ""
}

// resolveHeaders reads the list of headers.
func (d *examination) resolveHeaders(t *target) {
	variable, list := d.env.otlp("HEADERS")
	bad := 0
	for item := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		key, value, ok := strings.Cut(item, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		decoded, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || err != nil || endpoint.CheckHeader(key, decoded, t.protocol) != nil {
			bad++
			continue
		}
		t.headers[key] = decoded
	}
	if bad > 0 {
		d.add(Export, "headers-malformed", Problem, fmt.Sprintf("%s: %d of its members cannot be read, or sent", variable, bad),
			variable+"='name=value,name=value', with %20 for a blank; not name: value")
	}
	if list != "" {
		names := slices.Sorted(maps.Keys(t.headers))
		d.setting("headers", strings.TrimSpace(strings.Join(names, ", ")+" (values not shown)"), variable)
	}
}

// resolveTLS decides about TLS and loads certificates.
func (d *examination) resolveTLS(t *target) bool {
	variable, value := d.env.otlp("INSECURE")
	switch strings.ToLower(value) {
	case "":
	case "false":
		if t.where.Bare {
			t.where.Secure = true
			if t.url != nil {
				t.url.Scheme = "https"
			}
		}
	case "true":
		if t.where.Secure && t.variable != "" {
			d.add(Export, "insecure-ignored", Warning, variable+"=true: the scheme of the endpoint goes before it, it is TLS",
				"http:// in the endpoint for no TLS")
		}
	default:
		d.add(Export, "insecure-malformed", Problem, fmt.Sprintf("%s=%q is neither true nor false", variable, shown(value)), "")
	}
	// Without TLS nobody needs the files. Exporters that look at them all the same fail.
	usable, failed := true, Problem
	if !t.where.Secure {
		failed = Warning
	}
	caVariable, ca := d.env.otlp("CERTIFICATE")
	if ca != "" {
		d.setting("certificate", shown(ca), caVariable)
		pem, err := os.ReadFile(ca)
		t.tls.RootCAs = x509.NewCertPool()
		if err == nil && !t.tls.RootCAs.AppendCertsFromPEM(pem) {
			err = fmt.Errorf("no PEM certificate in it")
		}
		if err != nil {
			usable = !t.where.Secure
			d.add(Export, "certificate-unreadable", failed, fmt.Sprintf("%s=%s: %v", caVariable, shown(ca), err), "")
		}
	}
	certVariable, cert := d.env.otlp("CLIENT_CERTIFICATE")
	keyVariable, key := d.env.otlp("CLIENT_KEY")
	switch {
	case cert != "" && key != "":
		d.setting("client certificate", shown(cert), certVariable)
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			d.add(Export, "client-certificate-unreadable", failed, fmt.Sprintf("%s and %s: %v", certVariable, keyVariable, err), "")
			usable = usable && !t.where.Secure
			break
		}
		t.tls.Certificates = []tls.Certificate{pair}
	case cert != "":
		d.add(Export, "client-certificate-alone", failed, certVariable+" without OTEL_EXPORTER_OTLP_CLIENT_KEY", "set both")
		usable = usable && !t.where.Secure
	case key != "":
		d.add(Export, "client-certificate-alone", failed, keyVariable+" without OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "set both")
		usable = usable && !t.where.Secure
	}
	if ca != "" && t.variable != "" && !t.where.Secure {
		d.add(Export, "certificate-unused", Warning, caVariable+" is set, but the endpoint is not https://: no TLS is used",
			"https:// in "+t.variable)
	}
	return usable
}

// resolveTransport reads what is left: compression, timeout, batches.
func (d *examination) resolveTransport(t *target) {
	variable, compression := d.env.otlp("COMPRESSION")
	switch compression {
	case "", "none", "gzip":
		t.gzip = compression == "gzip"
	default:
		d.add(Export, "compression-unknown", Problem, fmt.Sprintf("%s=%s: not every SDK knows it", variable, shown(compression)),
			variable+"=gzip or none")
	}
	if variable != "" {
		d.setting("compression", shown(compression), variable)
	}
	for _, names := range [][]string{
		{"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"}, {"OTEL_BSP_SCHEDULE_DELAY"}, {"OTEL_BSP_EXPORT_TIMEOUT"},
		{"OTEL_BSP_MAX_QUEUE_SIZE"}, {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE"},
	} {
		name, value := d.env.first(names...)
		if name == "" {
			continue
		}
		d.setting(strings.ToLower(strings.TrimPrefix(strings.TrimPrefix(name, "OTEL_"), "EXPORTER_OTLP_")), shown(value), name)
		if n, err := strconv.Atoi(value); err != nil || n <= 0 {
			d.add(Export, "number-malformed", Problem, fmt.Sprintf("%s=%q is not a whole number above 0", name, shown(value)),
				"times are in milliseconds, without a unit")
		}
	}
}

// shown is a value of the environment as it may be printed.
func shown(value string) string { return redact.String(strings.ToValidUTF8(value, "\uFFFD")) }

// shownEndpoint is an endpoint without its user, password and query, which often holds a key.
func shownEndpoint(value string) string {
	value, _, query := strings.Cut(shown(value), "?")
	if i := strings.LastIndexByte(value, '@'); i >= 0 {
		scheme, _, found := strings.Cut(value, "://")
		value = redact.Mark + value[i:]
		if found {
			value = scheme + "://" + value
		}
	}
	if query {
		value += "?" + redact.Mark
	}
	return value
}
