package forkspantest

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	tracesPath = "/v1/traces" // https://opentelemetry.io/docs/specs/otlp/#otlphttp-request
	maxBody    = 64 << 20     // bytes of one request, as sent and again when decompressed
)

func (c *Collector) serve(w http.ResponseWriter, r *http.Request) {
	if !c.enter() {
		panic(http.ErrAbortHandler)
	}
	defer c.handlers.Done()
	if isGRPC(r) {
		c.serveGRPC(w, r)
		return
	}
	c.serveHTTP(w, r)
}

// enter counts a handler that begins, unless the collector is closed.
func (c *Collector) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.handlers.Add(1)
	}
	return !c.closed
}

// serveHTTP is OTLP/HTTP.
func (c *Collector) serveHTTP(w http.ResponseWriter, r *http.Request) {
	request := Request{Protocol: "http/protobuf", Path: r.URL.Path, Header: r.Header, Client: clientName(r)}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return // the client went away in the middle of its request
	}
	request.Bytes = len(body)
	request.Compression = r.Header.Get("Content-Encoding")
	contentType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	var refusal *Answer
	switch {
	case r.URL.Path != tracesPath:
		refusal = &Answer{Status: http.StatusNotFound}
	case r.Method != http.MethodPost:
		refusal = &Answer{Status: http.StatusMethodNotAllowed}
	default:
		request.Protocol, request.Spans, request.Err = decodeHTTP(contentType, request.Compression, body)
		if errors.Is(request.Err, errMediaType) {
			refusal = &Answer{Status: http.StatusUnsupportedMediaType, Message: request.Err.Error()}
		} else if request.Err != nil {
			refusal = &Answer{Status: http.StatusBadRequest, Message: request.Err.Error()}
		}
	}
	answer := c.take(request, refusal)
	if !c.hold(r.Context(), answer) {
		panic(http.ErrAbortHandler)
	}
	c.keep(request.Spans, answer)
	if answer.RetryAfter > 0 {
		seconds := int(math.Ceil(answer.RetryAfter.Seconds()))
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	out := answer.Garbage
	if out == nil {
		out = answer.message(request.Protocol == "http/json")
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(answer.httpStatus())
	_, _ = w.Write(out)
}

var errMediaType = errors.New("unsupported content type")

func decodeHTTP(contentType, compression string, body []byte) (protocol string, spans []Span, err error) {
	protocol = "http/protobuf"
	unmarshal := proto.Unmarshal
	switch contentType {
	case "application/x-protobuf":
	case "application/json":
		protocol, unmarshal = "http/json", unmarshalJSON
	default:
		return protocol, nil, fmt.Errorf("%w %q", errMediaType, contentType)
	}
	if body, err = decompress(compression, body); err != nil {
		return protocol, nil, err
	}
	var data tracepb.TracesData // the wire form of ExportTraceServiceRequest is the same
	if err := unmarshal(body, &data); err != nil {
		return protocol, nil, fmt.Errorf("decode request: %w", err)
	}
	return protocol, spansOf(&data), nil
}

func decompress(compression string, body []byte) ([]byte, error) {
	switch compression {
	case "", "identity":
		return body, nil
	case "gzip":
	default:
		return nil, fmt.Errorf("unsupported compression %q", compression)
	}
	zr, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("decompress request: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(zr, maxBody))
	if err != nil {
		return nil, fmt.Errorf("decompress request: %w", err)
	}
	return out, nil
}

func clientName(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	return r.TLS.PeerCertificates[0].Subject.CommonName
}

func isGRPC(r *http.Request) bool {
	return r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// waitFor reports whether ch came before the client or the collector left.
func waitFor[T any](ctx context.Context, closing <-chan struct{}, ch <-chan T) bool {
	select {
	case <-ch:
		return true
	case <-ctx.Done():
	case <-closing:
	}
	return false
}

// hold waits as the answer says, and reports whether there is still somebody to answer.
func (c *Collector) hold(ctx context.Context, a Answer) bool {
	if a.Delay > 0 {
		timer := time.NewTimer(a.Delay)
		defer timer.Stop()
		if !waitFor(ctx, c.closing, timer.C) {
			return false
		}
	}
	return a.Hold == nil || waitFor(ctx, c.closing, a.Hold)
}
