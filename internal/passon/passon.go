// Package passon passes OTLP metrics, logs and profiles straight on to a backend, as they came. Nothing of them is kept: a
// backend that cannot take them makes their sender try again.
package passon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"forkspan.dev/forkspan/internal/endpoint"
	"forkspan.dev/forkspan/internal/forward"
)

// most is how many requests are under way at once; more are told to come again.
const most = 8

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 32 << 10

// signals are the paths and methods of the OTLP specification by the names of its packages.
var signals = map[string]struct{ path, method string }{
	"metrics":  {"/v1/metrics", "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"},
	"logs":     {"/v1/logs", "/opentelemetry.proto.collector.logs.v1.LogsService/Export"},
	"profiles": {"/v1development/profiles", "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"},
}

// Passer passes requests on to one backend. It is safe for concurrent use.
type Passer struct {
	backend *forward.Backend
	places  chan struct{}
	base    string // the URL below which the paths of HTTP are
	client  *http.Client
	conn    *grpc.ClientConn // nil for HTTP
}

// New returns a Passer to a backend for traces, whose address those of the other signals follow from. Close ends it.
func New(b *forward.Backend) (*Passer, error) {
	p := &Passer{backend: b, places: make(chan struct{}, most)}
	if b.Protocol == endpoint.GRPC {
		creds := insecure.NewCredentials()
		if b.TLS != nil {
			creds = credentials.NewTLS(b.TLS)
		}
		var err error
		p.conn, err = grpc.NewClient(b.Address, grpc.WithTransportCredentials(creds))
		return p, err
	}
	base, ok := strings.CutSuffix(b.Address, "/v1/traces")
	if !ok {
		return nil, fmt.Errorf("the address for traces does not end in /v1/traces: %s", b.Name())
	}
	p.base = base
	t := &http.Transport{TLSClientConfig: b.TLS, Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: most}
	if b.Socket != "" {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", b.Socket)
		}
	}
	p.client = &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return p, nil
}

// Close drops the connections.
func (p *Passer) Close() {
	if p.conn != nil {
		p.conn.Close()
		return
	}
	p.client.CloseIdleConnections()
}

// Pass sends a request of a signal, in OTLP JSON or protobuf, and returns the backend's answer in the same. The error has a
// gRPC status for the sender: UNAVAILABLE when trying again may help.
func (p *Passer) Pass(ctx context.Context, signal string, json bool, body []byte) (answer []byte, err error) {
	where, ok := signals[signal]
	if !ok {
		return nil, status.Errorf(codes.Unimplemented, "%s are not passed on", signal)
	}
	select {
	case p.places <- struct{}{}:
		defer func() { <-p.places }()
	default:
		return nil, status.Error(codes.Unavailable, "too many requests are being passed on")
	}
	timeout := p.backend.Timeout
	if timeout == 0 {
		timeout = forward.DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if p.conn == nil {
		return p.post(ctx, p.base+where.path, json, body)
	}
	if json {
		return nil, status.Errorf(codes.Unimplemented, "the backend takes gRPC, for which %s in JSON are not translated", signal)
	}
	return p.call(ctx, where.method, body)
}

func (p *Passer) call(ctx context.Context, method string, body []byte) (answer []byte, err error) {
	options := []grpc.CallOption{grpc.ForceCodec(rawCodec{})}
	if p.backend.Gzip {
		options = append(options, grpc.UseCompressor(grpcgzip.Name))
	}
	ctx = metadata.NewOutgoingContext(ctx, metadata.New(p.backend.Headers))
	err = p.conn.Invoke(ctx, method, &body, &answer, options...)
	if err == nil {
		return answer, nil
	}
	code := codes.InvalidArgument // of what the backend refuses for good, whatever its reason
	switch status.Code(err) {
	case codes.Unimplemented:
		code = codes.Unimplemented
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss,
		codes.ResourceExhausted: // which OTLP lets senders try again
		code = codes.Unavailable
	}
	return nil, status.Errorf(code, "the backend: %s", status.Convert(err).Message())
}

func (p *Passer) post(ctx context.Context, address string, json bool, body []byte) (answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, status.Error(codes.Unavailable, "unusable endpoint")
	}
	for name, value := range p.backend.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	if json {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := p.client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the URL
		}
		return nil, status.Errorf(codes.Unavailable, "the backend: %v", err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode <= 299 && err != nil:
		return nil, nil // it was taken
	case resp.StatusCode >= 200 && resp.StatusCode <= 299:
		return answer, nil
	}
	code := codes.InvalidArgument
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		code = codes.Unavailable
	case http.StatusNotFound:
		code = codes.Unimplemented
	}
	return nil, status.Errorf(code, "the backend answered %s", resp.Status)
}

// rawCodec hands bytes through as the protobuf they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error { *v.(*[]byte) = bytes.Clone(data); return nil }
func (rawCodec) Name() string                       { return "proto" }
