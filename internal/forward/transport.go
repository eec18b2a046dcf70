package forward

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"

	"forkspan.dev/forkspan/internal/endpoint"
	"forkspan.dev/forkspan/internal/otlp"
)

// transport sends one request. An error that is no failure is one of the connection.
type transport interface {
	send(ctx context.Context, body []byte) (answer, error)
	close()
}

func newTransport(b *Backend) (transport, error) {
	t, err := newBareTransport(b)
	if err != nil {
		return nil, err
	}
	return &scrubbing{t, b.secrets()}, nil
}

func newBareTransport(b *Backend) (transport, error) {
	if b.Protocol == endpoint.GRPC {
		return newGRPC(b)
	}
	t := &http.Transport{TLSClientConfig: b.TLS, Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: senders}
	if b.Socket != "" {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", b.Socket)
		}
	}
	return &httpTransport{backend: b, client: &http.Client{Transport: t, CheckRedirect: keepRedirect}}, nil
}

// keepRedirect makes a redirect the answer: spans and headers are not taken elsewhere unasked.
func keepRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// httpTransport is OTLP/HTTP.
type httpTransport struct {
	backend *Backend
	client  *http.Client
}

func (t *httpTransport) close() { t.client.CloseIdleConnections() }

func (t *httpTransport) send(ctx context.Context, body []byte) (answer, error) {
	req, err := t.request(ctx, body)
	if err != nil {
		return answer{}, &failure{verdict: refused, err: err}
	}
	resp, err := t.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL
		}
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	switch {
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return answer{}, httpFailure(resp, body, time.Now())
	case strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html"):
		return answer{}, &failure{verdict: noAccess, err: errors.New("it answers with a page for people, which is no OTLP")}
	case err != nil:
		return answer{}, nil // it was taken
	case strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json"):
		return readJSONAnswer(body), nil
	}
	return readAnswer(body), nil
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

func (t *grpcTransport) send(ctx context.Context, body []byte) (answer, error) {
	t.conn.ResetConnectBackoff() // the pauses are ours
	ctx = metadata.NewOutgoingContext(ctx, metadata.New(t.backend.Headers))
	var reply []byte
	if err := t.conn.Invoke(ctx, exportMethod, &body, &reply, t.options...); err != nil {
		if canceled := ctx.Err(); errors.Is(canceled, context.Canceled) {
			return answer{}, canceled // by ourselves, whatever gRPC makes of it
		}
		return answer{}, grpcFailure(err)
	}
	return readAnswer(reply), nil
}

// rawCodec hands bytes through as the protobuf they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error { *v.(*[]byte) = bytes.Clone(data); return nil }
func (rawCodec) Name() string                       { return "proto" }
