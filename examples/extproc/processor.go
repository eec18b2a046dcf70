package main

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/genai"
)

// processor serves Envoy's streams, of which there is one for each HTTP request.
type processor struct {
	extproc.UnimplementedExternalProcessorServer
	recorder *genai.Recorder
}

// exchange is one HTTP request with its answer.
type exchange struct {
	*processor
	stream  extproc.ExternalProcessor_ProcessServer
	request *genai.Request // nil for a request that is none to an LLM
	done    bool           // the answer has come to its end
}

// Process follows one HTTP request.
func (p *processor) Process(stream extproc.ExternalProcessor_ProcessServer) error {
	x := &exchange{processor: p, stream: stream}
	err := x.follow()
	if x.request != nil {
		x.request.End(x.cause(err))
	}
	return err
}

// cause says how the request ended. Envoy closes the stream when it is through with a request, and when the client left.
func (x *exchange) cause(err error) error {
	switch {
	case x.done:
		return nil
	case err != nil && status.Code(err) != codes.Canceled:
		return err
	}
	return genai.ErrClientGone
}

func (x *exchange) follow() error {
	for {
		message, err := x.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := x.stream.Send(x.answer(message, time.Now())); err != nil {
			return err
		}
	}
}

// answer looks at a message and lets it pass; only the request's headers are changed.
func (x *exchange) answer(message *extproc.ProcessingRequest, at time.Time) *extproc.ProcessingResponse {
	switch m := message.Request.(type) {
	case *extproc.ProcessingRequest_RequestHeaders:
		return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_RequestHeaders{
			RequestHeaders: &extproc.HeadersResponse{Response: x.begin(m.RequestHeaders, at)}}}
	case *extproc.ProcessingRequest_RequestBody:
		if x.request != nil {
			x.request.RequestBody(m.RequestBody.Body)
		}
		return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_RequestBody{RequestBody: &extproc.BodyResponse{}}}
	case *extproc.ProcessingRequest_ResponseHeaders:
		x.responseHeaders(m.ResponseHeaders, at)
		return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ResponseHeaders{
			ResponseHeaders: &extproc.HeadersResponse{}}}
	case *extproc.ProcessingRequest_ResponseBody:
		if x.request != nil {
			x.request.Chunk(m.ResponseBody.Body, at)
		}
		x.done = x.done || m.ResponseBody.EndOfStream
		return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ResponseBody{ResponseBody: &extproc.BodyResponse{}}}
	case *extproc.ProcessingRequest_RequestTrailers:
		return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_RequestTrailers{
			RequestTrailers: &extproc.TrailersResponse{}}}
	case *extproc.ProcessingRequest_ResponseTrailers:
		x.done = true
		return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ResponseTrailers{
			ResponseTrailers: &extproc.TrailersResponse{}}}
	}
	return &extproc.ProcessingResponse{}
}

// begin starts the request's span and puts its traceparent in the place of the caller's.
func (x *exchange) begin(m *extproc.HttpHeaders, at time.Time) *extproc.CommonResponse {
	header, pseudo := headers(m)
	path, _, _ := strings.Cut(pseudo[":path"], "?")
	if genai.DetectAPI(pseudo[":method"], path) == genai.APIUnknown {
		return nil
	}
	ctx := forkspan.Extract(x.stream.Context(), propagation.HeaderCarrier(header))
	x.request = x.recorder.NewRequest(ctx, genai.RequestInfo{
		Method: pseudo[":method"], Path: path, Header: header, ServerAddress: pseudo[":authority"], Received: at,
	})
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(x.request.Context(), carrier)
	mutation := &extproc.HeaderMutation{RemoveHeaders: []string{"tracestate"}}
	for name, value := range carrier {
		mutation.SetHeaders = append(mutation.SetHeaders, &core.HeaderValueOption{
			Header:       &core.HeaderValue{Key: name, RawValue: []byte(value)},
			AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		})
		if name == "tracestate" {
			mutation.RemoveHeaders = nil
		}
	}
	return &extproc.CommonResponse{HeaderMutation: mutation}
}

func (x *exchange) responseHeaders(m *extproc.HttpHeaders, at time.Time) {
	header, pseudo := headers(m)
	if code, err := strconv.Atoi(pseudo[":status"]); err == nil && x.request != nil {
		x.request.ResponseHeader(code, header, at)
	}
	x.done = m.EndOfStream
}

// headers tells HTTP/2's pseudo headers from the others.
func headers(m *extproc.HttpHeaders) (http.Header, map[string]string) {
	header, pseudo := http.Header{}, map[string]string{}
	for _, h := range m.GetHeaders().GetHeaders() {
		value := string(h.RawValue)
		if value == "" {
			value = h.Value
		}
		if strings.HasPrefix(h.Key, ":") {
			pseudo[h.Key] = value
		} else {
			header.Add(h.Key, value)
		}
	}
	return header, pseudo
}
