package forkspan

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Retries of one export, all within its timeout. OpenTelemetry's Go exporters wait 5 s before the first, which a
// [Tracer.Shutdown] cannot.
const (
	retryFirst = time.Second
	retryMax   = 5 * time.Second
)

// NewExporter returns an OTLP exporter for endpoint; an empty one means that of the environment, or localhost. Settings
// that no option gives come from the environment as for [Init]. Errors are [ConfigError] values, and without an exporter
// when one of them leaves nothing to send with.
//
// These endpoints are understood, with or without a path:
//
//	host:4317, 127.0.0.1:4317, [::1]:4317, host, //host:4317   no TLS
//	http://host:4317, grpc://host:4317                         no TLS
//	https://host:4317, grpcs://host:4317                       TLS
//	unix:///run/otel.sock, dns:///host:4317                    as gRPC does; unix also for HTTP
//
// The protocol is the one that was asked for: grpc, http/protobuf or http/json. Where none was, it is http/protobuf for
// port 4318 and for a path on a port other than 4317, else grpc. gRPC ignores paths; HTTP posts to exactly the URL given,
// with /v1/traces added only where it came from OTEL_EXPORTER_OTLP_ENDPOINT.
//
// OTEL_EXPORTER_OTLP_TIMEOUT is in milliseconds, as the specification has it; opentelemetry-python reads seconds.
//
// Use [Init] unless you build a tracer provider of your own.
func NewExporter(ctx context.Context, endpoint string, opts ...Option) (sdktrace.SpanExporter, error) {
	s := newSettings(opts)
	if endpoint != "" {
		s.endpoint = endpoint
	}
	var r reader
	c := r.export(s)
	if r.fatal {
		return nil, errors.Join(r.errs...)
	}
	e, err := newOTLPExporter(ctx, c)
	if err != nil {
		return nil, errors.Join(append(r.errs, err)...)
	}
	return e, errors.Join(r.errs...)
}

// otlpExporter bounds each export in time and closes its connections when it is shut down.
type otlpExporter struct {
	*otlptrace.Exporter
	timeout time.Duration
	close   func()
}

func newOTLPExporter(ctx context.Context, c exportConfig) (*otlpExporter, error) {
	e := &otlpExporter{timeout: c.timeout, close: func() {}}
	var err error
	if c.protocol == protocolGRPC {
		e.Exporter, err = newGRPC(ctx, c)
	} else {
		e.Exporter, e.close, err = newHTTP(ctx, c)
	}
	if err != nil {
		return nil, fmt.Errorf("create exporter: %w", err)
	}
	return e, nil
}

// ExportSpans sends spans, with retries, within the exporter's timeout.
func (e *otlpExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	return e.Exporter.ExportSpans(ctx, spans)
}

// Shutdown closes the connection.
func (e *otlpExporter) Shutdown(ctx context.Context) error {
	defer e.close()
	return e.Exporter.Shutdown(ctx)
}

// newGRPC passes on every setting, since what it leaves out the upstream exporter reads from the environment, by rules
// that are not ours.
func newGRPC(ctx context.Context, c exportConfig) (*otlptrace.Exporter, error) {
	creds := insecure.NewCredentials()
	if c.tls != nil {
		creds = credentials.NewTLS(c.tls)
	}
	compressor := ""
	if c.gzip {
		compressor = "gzip"
	}
	return otlptracegrpc.New(ctx,
		otlptracegrpc.WithEndpoint(c.endpoint.dialTarget()),
		otlptracegrpc.WithTLSCredentials(creds),
		otlptracegrpc.WithHeaders(c.headers),
		otlptracegrpc.WithTimeout(c.timeout),
		otlptracegrpc.WithCompressor(compressor),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{
			Enabled: true, InitialInterval: retryFirst, MaxInterval: retryMax, MaxElapsedTime: c.timeout,
		}),
		otlptracegrpc.WithDialOption(grpc.WithUnaryInterceptor(noteGRPCAnswer)),
	)
}

func newHTTP(ctx context.Context, c exportConfig) (*otlptrace.Exporter, func(), error) {
	target := c.endpoint.httpURL()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = c.tls
	if path, ok := strings.CutPrefix(c.endpoint.target, "unix:"); ok {
		path = "/" + strings.TrimLeft(path, "/")
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}
	}
	compression, encoding := otlptracehttp.NoCompression, otlptracehttp.EncodingProtobuf
	if c.gzip {
		compression = otlptracehttp.GzipCompression
	}
	if c.protocol == protocolJSON {
		encoding = otlptracehttp.EncodingJSON
	}
	e, err := otlptracehttp.New(ctx,
		otlptracehttp.WithEndpointURL(target.String()),
		otlptracehttp.WithTLSClientConfig(nil), // ours is in the client; the environment's must not count
		otlptracehttp.WithHTTPClient(&http.Client{Transport: &httpSender{url: target, next: transport}}),
		otlptracehttp.WithHeaders(c.headers),
		otlptracehttp.WithTimeout(c.timeout),
		otlptracehttp.WithCompression(compression),
		otlptracehttp.WithEncoding(encoding),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
			Enabled: true, InitialInterval: retryFirst, MaxInterval: retryMax, MaxElapsedTime: c.timeout,
		}),
	)
	return e, transport.CloseIdleConnections, err
}

// httpSender posts to exactly url, whose query and escaping the upstream exporter drops, and notes the answer.
type httpSender struct {
	url  *url.URL
	next http.RoundTripper
}

func (s *httpSender) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL = s.url
	resp, err := s.next.RoundTrip(req)
	if err == nil {
		err = noteHTTPAnswer(req.Context(), resp)
	}
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func basicAuth(u *url.Userinfo) string {
	password, _ := u.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password))
}
