package forkspan

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"forkspan.dev/forkspan/internal/endpoint"
	"forkspan.dev/forkspan/internal/otlp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// maxAnswer bounds an answer in bytes; a collector's own are a few hundred.
const maxAnswer = 1 << 20

type httpSender struct {
	url       *url.URL
	headers   map[string]string
	json      bool
	gzip      bool
	transport *http.Transport
	client    *http.Client
}

func newHTTPSender(c exportConfig) *httpSender {
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     c.tls,
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: c.timeout,
		IdleConnTimeout:     90 * time.Second,
	}
	if path, ok := c.endpoint.Socket(); ok {
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}
	}
	return &httpSender{
		url: c.endpoint.URL(), headers: c.headers, json: c.protocol == endpoint.JSON, gzip: c.gzip,
		transport: transport,
		// A redirect would turn the POST into a GET: it is an answer like any other that is no success.
		client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}},
	}
}

func (s *httpSender) close() error {
	s.transport.CloseIdleConnections()
	return nil
}

func (s *httpSender) send(ctx context.Context, msg *tracepb.TracesData) (partialSuccess, error) {
	req, err := s.request(ctx, msg)
	if err != nil {
		return partialSuccess{}, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL, which may hold a token
		}
		return partialSuccess{}, &retryError{err: fmt.Errorf("post to %s: %w", s.url.Host, err)}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return partialSuccess{}, &retryError{err: fmt.Errorf("read answer: %w", err)}
	}
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode <= 299:
		return readAnswer(resp.Header.Get("Content-Type"), body)
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusBadGateway,
		resp.StatusCode == http.StatusServiceUnavailable, resp.StatusCode == http.StatusGatewayTimeout:
		return partialSuccess{}, &retryError{err: statusError(resp, body), after: retryAfter(resp.Header)}
	}
	return partialSuccess{}, statusError(resp, body)
}

func (s *httpSender) request(ctx context.Context, msg *tracepb.TracesData) (*http.Request, error) {
	media := "application/x-protobuf"
	body, err := proto.Marshal(msg)
	if err == nil && s.json {
		media = "application/json"
		body, err = otlp.AppendJSON(nil, body)
	}
	if err != nil {
		return nil, fmt.Errorf("encode spans: %w", err)
	}
	encoding := ""
	if s.gzip {
		encoding = "gzip"
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		w.Write(body) // a buffer takes everything
		w.Close()
		body = packed.Bytes()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("create request: %w", err)
	}
	req.Header.Set("User-Agent", userAgent)
	for k, v := range s.headers {
		req.Header.Set(k, v)
	}
	req.Header.Set("Content-Type", media)
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	return req, nil
}

// readAnswer reads the message of a success. One that claims to be OTLP's and is not, is no success.
func readAnswer(contentType string, body []byte) (partialSuccess, error) {
	media, _, _ := mime.ParseMediaType(contentType)
	switch {
	case len(body) == 0:
	case media == "application/json":
		return parseJSONAnswer(body)
	case media == "application/x-protobuf":
		return parseAnswer(body)
	}
	return partialSuccess{}, nil // several backends answer "ok" in plain text
}

// statusError has the beginning of the answer in it where that is text.
func statusError(resp *http.Response, body []byte) error {
	text := strings.TrimSpace(string(body[:min(len(body), 200)]))
	if strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r == '\ufffd' }) >= 0 {
		text = ""
	}
	if text == "" {
		return fmt.Errorf("collector answered %s", resp.Status)
	}
	return fmt.Errorf("collector answered %s: %s", resp.Status, text)
}

// retryAfter reads a number of seconds or a date (RFC 9110, section 10.2.3).
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
