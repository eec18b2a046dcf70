package forkspan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"forkspan.dev/forkspan/internal/endpoint"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
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
// with /v1/traces added only where it came from OTEL_EXPORTER_OTLP_ENDPOINT, or is no URL but a bare host.
//
// An export of more than 4 MiB goes out as several requests, since collectors refuse a longer one as a whole.
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

// newOTLPExporter puts OpenTelemetry's encoding on top of a way to send of our own. OpenTelemetry's clients read the
// environment by themselves, complain on stderr about endpoints in vLLM's form, wait 5 s before they try again, and keep
// the number of spans that a partial success rejected inside an error's text.
func newOTLPExporter(ctx context.Context, c exportConfig) (sdktrace.SpanExporter, error) {
	var send sender
	var err error
	if c.protocol == endpoint.GRPC {
		send, err = newGRPCSender(c)
	} else {
		send = newHTTPSender(c)
	}
	if err != nil {
		return nil, fmt.Errorf("create exporter: %w", err)
	}
	e, err := otlptrace.New(ctx, &client{sender: send, timeout: c.timeout})
	if err != nil {
		return nil, fmt.Errorf("create exporter: %w", err)
	}
	return e, nil
}

// sender makes one attempt to export. An error is a *retryError when it is worth another try.
//
// The request is TracesData, which is ExportTraceServiceRequest on the wire: the latter's package would bring gRPC's HTTP
// gateway into every user's program.
type sender interface {
	send(ctx context.Context, req *tracepb.TracesData) (partialSuccess, error)
	close() error
}

// client is an otlptrace.Client that retries within its timeout.
type client struct {
	sender  sender
	timeout time.Duration
}

// Start does nothing; connections are made when there is something to send.
func (c *client) Start(context.Context) error { return nil }

// Stop closes the connections. Exports under way end with the context that they were given.
func (c *client) Stop(context.Context) error { return c.sender.close() }

// UploadTraces sends spans and notes for withAnswer how many the collector turned down.
func (c *client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	repairText(spans)
	var a answer
	var errs []error
	for _, part := range split(&tracepb.TracesData{ResourceSpans: spans}) {
		partial, err := c.export(ctx, part)
		if err != nil {
			a.failed += countSpans(part)
			errs = append(errs, err)
			continue
		}
		a.taken = true
		a.rejected += int(max(0, partial.rejected))
		errs = append(errs, partial.err())
	}
	a.note(ctx)
	return errors.Join(errs...)
}

// export sends one request, again and again where that may help.
func (c *client) export(ctx context.Context, req *tracepb.TracesData) (partialSuccess, error) {
	for wait := retryFirst; ; wait = min(2*wait, retryMax) {
		partial, err := c.sender.send(ctx, req)
		if err == nil {
			return partial, nil
		}
		var again *retryError
		if !errors.As(err, &again) || !sleep(ctx, max(again.after, jitter(wait))) {
			return partial, err
		}
	}
}
