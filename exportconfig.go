package forkspan

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"forkspan.dev/forkspan/internal/endpoint"
)

// defaultTimeout bounds one export, its retries included.
const defaultTimeout = 10 * time.Second

// exportConfig is everything the OTLP exporter needs.
type exportConfig struct {
	endpoint endpoint.Endpoint
	protocol string
	headers  map[string]string
	timeout  time.Duration
	gzip     bool
	tls      *tls.Config // nil without TLS
}

// hasEndpoint reports whether the options or the environment name an endpoint.
func (r *reader) hasEndpoint(s *settings) bool {
	if s.endpoint != "" {
		return true
	}
	name, _ := r.otlp("ENDPOINT")
	return name != ""
}

// export reads the OTLP exporter's configuration. It is of use unless r.fatal is set afterwards.
func (r *reader) export(s *settings) exportConfig {
	c := exportConfig{protocol: r.protocol(s)}
	c.endpoint = r.endpoint(s, &c.protocol)
	r.security(s, &c)
	c.timeout = s.timeout
	if c.timeout <= 0 {
		c.timeout = r.milliseconds(defaultTimeout, 1,
			"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
	}
	c.headers = r.headers(s, c.protocol)
	if c.headers["authorization"] == "" && c.endpoint.User != nil {
		c.headers["authorization"] = c.endpoint.Authorization()
	}
	c.gzip = r.gzip(s)
	return c
}

// protocol returns the protocol that was asked for, or nothing.
func (r *reader) protocol(s *settings) string {
	name, value := "WithProtocol", s.protocol
	if value == "" {
		name, value = r.otlp("PROTOCOL")
	}
	switch value {
	case "", endpoint.GRPC, endpoint.HTTP, endpoint.JSON:
		return value
	}
	// The words are vLLM's, so that they can be searched for.
	r.bad(name, value, usedDisabled, fmt.Errorf("Unsupported OTLP protocol '%s' is configured", value))
	return ""
}

// endpoint returns where to send spans, and fills in the protocol where none was asked for.
func (r *reader) endpoint(s *settings, protocol *string) endpoint.Endpoint {
	name, value := "WithEndpoint", s.endpoint
	if value == "" {
		name, value = r.otlp("ENDPOINT")
	}
	if name == "" {
		e := endpoint.Endpoint{Host: "localhost", Bare: true}
		if *protocol == "" {
			*protocol = endpoint.GRPC
		}
		if *protocol != endpoint.GRPC {
			e = e.BelowBase()
		}
		return e
	}
	e, err := endpoint.Parse(value)
	if err != nil {
		r.bad(name, maskEndpoint(value), usedDisabled, fmt.Errorf("parse endpoint: %w", err))
		return endpoint.Endpoint{}
	}
	if *protocol == "" {
		*protocol = e.Protocol()
	}
	if *protocol == endpoint.GRPC {
		return e
	}
	if _, isSocket := e.Socket(); e.Target != "" && !isSocket {
		r.bad(name, maskEndpoint(value), usedDisabled, fmt.Errorf("a gRPC target, which %s cannot dial", *protocol))
		return endpoint.Endpoint{}
	}
	if name == "OTEL_EXPORTER_OTLP_ENDPOINT" {
		e = e.BelowBase()
	}
	return e
}

// security decides about TLS and loads certificates. The scheme decides; OTEL_EXPORTER_OTLP_INSECURE=false asks for TLS
// where there is no scheme. Unlike the specification, and like vLLM, its default there is no TLS.
func (r *reader) security(s *settings, c *exportConfig) {
	if name, value := r.otlp("INSECURE"); name != "" {
		r.boolean(name, value) // only to report a word that is neither
		if c.endpoint.Bare && strings.EqualFold(value, "false") {
			c.endpoint.Secure = true
		}
	}
	if !c.endpoint.Secure {
		return
	}
	if s.tls != nil {
		c.tls = s.tls
		return
	}
	c.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if name, path := r.otlp("CERTIFICATE"); name != "" {
		pem, err := os.ReadFile(path)
		if err != nil {
			r.bad(name, path, usedDisabled, fmt.Errorf("read certificate: %w", err))
			return
		}
		c.tls.RootCAs = x509.NewCertPool()
		if !c.tls.RootCAs.AppendCertsFromPEM(pem) {
			r.bad(name, path, usedDisabled, errors.New("read certificate: no PEM certificate in the file"))
			return
		}
	}
	certName, cert := r.otlp("CLIENT_CERTIFICATE")
	keyName, key := r.otlp("CLIENT_KEY")
	switch {
	case certName == "" && keyName == "":
	case certName == "":
		r.bad(keyName, key, usedDisabled, errors.New("a key without OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"))
	case keyName == "":
		r.bad(certName, cert, usedDisabled, errors.New("a certificate without OTEL_EXPORTER_OTLP_CLIENT_KEY"))
	default:
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			r.bad(certName, cert, usedDisabled, fmt.Errorf("load client certificate: %w", err))
			return
		}
		c.tls.Certificates = []tls.Certificate{pair}
	}
}

// headers reads a list of key=value with URL-escaped values (W3C Baggage without properties). Keys are lower-cased, as
// gRPC wants them. Members that are unreadable, or that the protocol cannot send, are left out.
func (r *reader) headers(s *settings, protocol string) map[string]string {
	h := map[string]string{}
	if s.headers != nil {
		for _, k := range slices.Sorted(maps.Keys(s.headers)) {
			key := strings.ToLower(k)
			if err := endpoint.CheckHeader(key, s.headers[k], protocol); err != nil {
				r.bad("WithHeaders", maskHeader(k+"="), "the other headers", err)
				continue
			}
			h[key] = s.headers[k]
		}
		return h
	}
	name, value := r.otlp("HEADERS")
	for part := range strings.SplitSeq(value, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		key, raw, ok := strings.Cut(part, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		decoded, err := url.PathUnescape(strings.TrimSpace(raw))
		switch {
		case !ok:
			err = errors.New("no = in header")
		case err != nil:
			err = errors.New("invalid URL escape in header's value")
		default:
			err = endpoint.CheckHeader(key, decoded, protocol)
		}
		if err != nil {
			r.bad(name, maskHeader(part), "the other headers", err)
			continue
		}
		h[key] = decoded
	}
	return h
}

func (r *reader) gzip(s *settings) bool {
	name, value := "WithCompression", s.compression
	if value == "" {
		name, value = r.otlp("COMPRESSION")
	}
	switch value {
	case "gzip":
		return true
	case "", "none":
		return false
	}
	r.bad(name, value, "none", errors.New("unknown compression"))
	return false
}
