package forward

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"forkspan.dev/forkspan/internal/endpoint"
	"forkspan.dev/forkspan/internal/otlp"
)

// transport sends one request and returns how many of its spans the backend rejected.
type transport interface {
	send(ctx context.Context, body []byte) (rejected int64, err error)
	close()
}

// retryError is a failure that may pass.
type retryError struct {
	err   error
	after time.Duration // not before; 0 when the backend does not say
}

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

func newTransport(b *Backend) (transport, error) {
	if b.Protocol == endpoint.GRPC {
		return newGRPC(b)
	}
	t := &http.Transport{TLSClientConfig: b.TLS, Proxy: http.ProxyFromEnvironment}
	if b.Socket != "" {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", b.Socket)
		}
	}
	return &httpTransport{backend: b, client: &http.Client{Transport: t}}, nil
}

// httpTransport is OTLP/HTTP.
type httpTransport struct {
	backend *Backend
	client  *http.Client
}

func (t *httpTransport) close() { t.client.CloseIdleConnections() }

func (t *httpTransport) send(ctx context.Context, body []byte) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, t.backend.Timeout)
	defer cancel()
	req, err := t.request(ctx, body)
	if err != nil {
		return 0, err
	}
	resp, err := t.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL
		}
		return 0, &retryError{err: err}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	switch {
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusBadGateway,
		resp.StatusCode == http.StatusServiceUnavailable, resp.StatusCode == http.StatusGatewayTimeout:
		// The codes that the OTLP specification lets clients retry.
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return 0, &retryError{fmt.Errorf("status %d", resp.StatusCode), time.Duration(seconds) * time.Second}
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return 0, fmt.Errorf("status %d", resp.StatusCode)
	case err != nil || t.backend.Protocol == endpoint.JSON:
		return 0, nil
	}
	return rejectedSpans(answer), nil
}

func (t *httpTransport) request(ctx context.Context, body []byte) (*http.Request, error) {
	contentType := "application/x-protobuf"
	if t.backend.Protocol == endpoint.JSON {
		var err error
		if body, err = otlp.AppendJSON(nil, body); err != nil {
			return nil, err
		}
		contentType = "application/json"
	}
	if t.backend.Gzip {
		var buf bytes.Buffer
		w := gzip.NewWriter(&buf)
		w.Write(body) // a bytes.Buffer takes everything
		w.Close()
		body = buf.Bytes()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.backend.Address, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("unusable endpoint")
	}
	for name, value := range t.backend.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", contentType)
	if t.backend.Gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	return req, nil
}

// grpcTransport is OTLP/gRPC. Requests and answers stay bytes.
type grpcTransport struct {
	backend *Backend
	conn    *grpc.ClientConn
	options []grpc.CallOption
}

func newGRPC(b *Backend) (*grpcTransport, error) {
	creds := insecure.NewCredentials()
	if b.TLS != nil {
		creds = credentials.NewTLS(b.TLS)
	}
	conn, err := grpc.NewClient(b.Address, grpc.WithTransportCredentials(creds))
	if err != nil {
		return nil, err
	}
	conn.Connect() // now: the end of a run has little time
	t := &grpcTransport{backend: b, conn: conn, options: []grpc.CallOption{grpc.ForceCodec(rawCodec{})}}
	if b.Gzip {
		t.options = append(t.options, grpc.UseCompressor(grpcgzip.Name))
	}
	return t, nil
}

func (t *grpcTransport) close() { t.conn.Close() }

// exportMethod is the one RPC of opentelemetry/proto/collector/trace/v1/trace_service.proto.
const exportMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

func (t *grpcTransport) send(ctx context.Context, body []byte) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, t.backend.Timeout)
	defer cancel()
	ctx = metadata.NewOutgoingContext(ctx, metadata.New(t.backend.Headers))
	var answer []byte
	err := t.conn.Invoke(ctx, exportMethod, &body, &answer, t.options...)
	if err == nil {
		return rejectedSpans(answer), nil
	}
	s := status.Convert(err)
	message := s.Message()
	if i := strings.LastIndex(message, "transport: "); i >= 0 {
		message = strings.TrimRight(message[i+len("transport: "):], `"`) // without gRPC's own layers
	}
	err = fmt.Errorf("%s: %s", s.Code(), message)
	switch s.Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted, codes.OutOfRange, codes.Unavailable,
		codes.DataLoss:
		return 0, &retryError{err: err}
	}
	return 0, err
}

// rawCodec hands bytes through as the protobuf they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error { *v.(*[]byte) = bytes.Clone(data); return nil }
func (rawCodec) Name() string                       { return "proto" }

// rejectedSpans reads partial_success.rejected_spans of an ExportTraceServiceResponse; a broken answer rejects none.
func rejectedSpans(answer []byte) int64 {
	partial := firstField(answer, protowire.BytesType)
	message, n := protowire.ConsumeBytes(partial)
	if n < 0 {
		return 0
	}
	count := firstField(message, protowire.VarintType)
	rejected, n := protowire.ConsumeVarint(count)
	if n < 0 {
		return 0
	}
	return max(0, int64(rejected))
}

// firstField returns what follows the tag of field 1 of the given type in message; nil when there is none.
func firstField(message []byte, typ protowire.Type) []byte {
	for len(message) > 0 {
		num, got, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil
		}
		message = message[n:]
		if num == 1 && got == typ {
			return message
		}
		if n = protowire.ConsumeFieldValue(num, got, message); n < 0 {
			return nil
		}
		message = message[n:]
	}
	return nil
}
