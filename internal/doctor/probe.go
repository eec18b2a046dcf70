package doctor

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"forkspan.dev/forkspan/internal/endpoint"
	"forkspan.dev/forkspan/internal/otlp"
)

// prober sends requests to one address.
type prober struct {
	target  *target
	address string // host and port
	secure  bool
	proxy   *url.URL // nil for none

	wantsCertificate bool // the server has asked for a client's certificate
}

// name is the address for the user.
func (p *prober) name() string {
	if socket, ok := p.target.where.Socket(); ok {
		return "unix:" + socket
	}
	return p.address
}

func (p *prober) dial(ctx context.Context) (net.Conn, error) {
	var dialer net.Dialer
	if socket, ok := p.target.where.Socket(); ok {
		return dialer.DialContext(ctx, "unix", socket)
	}
	if p.proxy != nil {
		return p.dialThrough(ctx)
	}
	return dialer.DialContext(ctx, "tcp", p.address)
}

// answer is what came back.
type answer struct {
	speaks   bool // OTLP as it was sent, whatever was answered
	taken    bool
	status   int // HTTP
	code     codes.Code
	message  string // of the server
	kind     string // content type
	location string // of a redirect
	date     time.Time
	sent     time.Time
	took     time.Duration
	err      error // of the transport
	body     []byte
}

// send sends a request (nil for an empty one) as an exporter would.
func (p *prober) send(ctx context.Context, protocol string, secure bool, request []byte) answer {
	config := p.target.tls.Clone()
	config.ServerName = p.target.where.Host
	if protocol == endpoint.GRPC {
		return p.sendGRPC(ctx, secure, config, request)
	}
	u := *p.target.url
	return p.sendHTTP(ctx, protocol, &u, config, request)
}

// alternative tries whether something takes OTLP in another way. It shows no credentials, and believes any certificate: nothing
// but that is learnt from it.
func (p *prober) alternative(ctx context.Context, protocol string, secure bool) answer {
	ctx, cancel := part(ctx, 2)
	defer cancel()
	other := *p
	stripped := *p.target
	stripped.headers = nil
	other.target = &stripped
	config := &tls.Config{InsecureSkipVerify: true, Certificates: p.target.tls.Certificates} // see above
	if protocol == endpoint.GRPC {
		return other.sendGRPC(ctx, secure, config, nil)
	}
	u := &url.URL{Scheme: "http", Host: p.address, Path: "/v1/traces"}
	if p.target.url != nil && p.target.protocol != endpoint.GRPC {
		u.Path = p.target.url.Path
	}
	if secure {
		u.Scheme = "https"
	}
	a := other.sendHTTP(ctx, endpoint.HTTP, u, config, nil)
	// Refusals of this kind come from what understands the request.
	a.speaks = a.speaks || a.status == http.StatusUnauthorized || a.status == http.StatusForbidden
	return a
}

func (p *prober) sendHTTP(ctx context.Context, protocol string, u *url.URL, config *tls.Config, request []byte) answer {
	contentType := "application/x-protobuf"
	if protocol == endpoint.JSON {
		contentType = "application/json"
		request, _ = otlp.AppendJSON(nil, request) // of ours, or empty
		if len(request) == 0 {
			request = []byte("{}")
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(request))
	if err != nil {
		return answer{err: errors.New("unusable endpoint")}
	}
	for name, value := range p.target.headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", contentType)
	transport := &http.Transport{
		TLSClientConfig: config, DisableKeepAlives: true, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx) },
	}
	if p.proxy != nil && u.Scheme == "http" { // a proxy takes plain requests whole
		transport.Proxy = http.ProxyURL(p.proxy)
		transport.DialContext = nil
	}
	a := answer{sent: time.Now()}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		a.err = err
		return a
	}
	defer resp.Body.Close()
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, 16<<10)); err != nil {
		return answer{err: fmt.Errorf("read answer: %w", err)}
	}
	a.took = time.Since(a.sent)
	a.status, a.kind, a.location = resp.StatusCode, resp.Header.Get("Content-Type"), resp.Header.Get("Location")
	a.date, _ = http.ParseTime(resp.Header.Get("Date"))
	kind, _, _ := strings.Cut(a.kind, ";")
	isOTLP := kind == "application/x-protobuf" || kind == "application/json"
	a.taken = a.status/100 == 2 && (isOTLP || len(a.body) == 0)
	a.speaks = a.taken || isOTLP && a.status != http.StatusNotFound
	return a
}

// exportMethod is the one RPC of opentelemetry/proto/collector/trace/v1/trace_service.proto.
const exportMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

func (p *prober) sendGRPC(ctx context.Context, secure bool, config *tls.Config, request []byte) answer {
	creds := insecure.NewCredentials()
	if secure {
		creds = credentials.NewTLS(config)
	}
	conn, err := grpc.NewClient("passthrough:///"+p.address, grpc.WithTransportCredentials(creds), grpc.WithNoProxy(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return p.dial(ctx) }))
	if err != nil {
		return answer{err: err}
	}
	defer conn.Close()
	ctx = metadata.NewOutgoingContext(ctx, metadata.New(p.target.headers))
	var header, trailer metadata.MD
	var response []byte
	a := answer{sent: time.Now()}
	err = conn.Invoke(ctx, exportMethod, &request, &response, grpc.ForceCodec(rawCodec{}), grpc.Header(&header), grpc.Trailer(&trailer))
	a.took, a.body = time.Since(a.sent), response
	s := status.Convert(err)
	a.code, a.message = s.Code(), s.Message()
	if dates := append(header.Get("date"), trailer.Get("date")...); len(dates) > 0 {
		a.date, _ = http.ParseTime(dates[0])
	}
	a.taken = err == nil
	// What is no gRPC, gRPC reports as a status of its own making.
	foreign := strings.Contains(a.message, "unexpected HTTP status code") || strings.Contains(a.message, "unexpected content-type") ||
		strings.Contains(a.message, "malformed header")
	a.speaks = a.taken || !foreign && (len(header)+len(trailer) > 0 || !ofTransport(a.code, a.message))
	if !a.speaks {
		a.err = errors.New(transportCause(a.message))
		if a.code == codes.DeadlineExceeded {
			a.err = context.DeadlineExceeded
		}
	}
	return a
}

// ofTransport tells whether a status was made on this side, since no answer came.
func ofTransport(code codes.Code, message string) bool {
	switch code {
	case codes.DeadlineExceeded, codes.Canceled:
		return true
	case codes.Unavailable:
		return true // a server's own has at least a content type, and is not asked about here
	case codes.Internal, codes.Unknown:
		for _, word := range []string{"connection", "transport", "stream", "EOF", "http2", "preface", "dial", "name resolver"} {
			if strings.Contains(message, word) {
				return true
			}
		}
	}
	return false
}

// transportCause is gRPC's message without its own layers.
func transportCause(message string) string {
	for _, layer := range []string{"transport: ", `desc = "`} {
		if i := strings.LastIndex(message, layer); i >= 0 {
			message = message[i+len(layer):]
		}
	}
	return strings.Trim(message, `"`)
}

// rawCodec hands bytes through as the protobuf they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error { *v.(*[]byte) = bytes.Clone(data); return nil }
func (rawCodec) Name() string                       { return "proto" }

// certificateWanted tells whether a request failed for want of a client's certificate.
func (p *prober) certificateWanted(err error) bool {
	if err == nil {
		return false
	}
	return p.wantsCertificate || strings.Contains(err.Error(), "tls: certificate required")
}

func quoteAnswer(message string) string {
	const longest = 120
	message = shown(strings.Join(strings.Fields(message), " "))
	if len(message) > longest {
		message = strings.ToValidUTF8(message[:longest], "") + "…"
	}
	if message == "" {
		return ""
	}
	return fmt.Sprintf(" (%q)", message)
}
