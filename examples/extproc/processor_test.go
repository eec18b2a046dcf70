package main

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/genai"
)

const caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func httpHeaders(pairs ...string) *extproc.HttpHeaders {
	m := &core.HeaderMap{}
	for i := 0; i < len(pairs); i += 2 {
		m.Headers = append(m.Headers, &core.HeaderValue{Key: pairs[i], RawValue: []byte(pairs[i+1])})
	}
	return &extproc.HttpHeaders{Headers: m}
}

// TestProcess plays Envoy, for a request that is answered and one whose client leaves.
func TestProcess(t *testing.T) {
	spans := forkspantest.Install(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	extproc.RegisterExternalProcessorServer(server, &processor{recorder: genai.NewRecorder()})
	go func() { _ = server.Serve(l) }()
	defer server.Stop()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	for _, leaves := range []bool{false, true} {
		spans.Reset()
		streamCtx, leave := context.WithCancel(ctx)
		stream, err := extproc.NewExternalProcessorClient(conn).Process(streamCtx)
		if err != nil {
			t.Fatal(err)
		}
		exchange := func(m *extproc.ProcessingRequest) *extproc.ProcessingResponse {
			if err := stream.Send(m); err != nil {
				t.Fatal(err)
			}
			answer, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			return answer
		}
		answer := exchange(&extproc.ProcessingRequest{Request: &extproc.ProcessingRequest_RequestHeaders{RequestHeaders: httpHeaders(
			":method", "POST", ":path", "/v1/chat/completions?x=1", ":authority", "llm", "traceparent", caller)}})
		set := answer.GetRequestHeaders().GetResponse().GetHeaderMutation().GetSetHeaders()
		if len(set) != 1 || set[0].Header.Key != "traceparent" || !strings.HasPrefix(string(set[0].Header.RawValue), caller[:36]) {
			t.Errorf("headers set: %v", set)
		}
		exchange(&extproc.ProcessingRequest{Request: &extproc.ProcessingRequest_RequestBody{RequestBody: &extproc.HttpBody{
			Body: []byte(`{"model":"m","stream":true}`), EndOfStream: true}}})
		exchange(&extproc.ProcessingRequest{Request: &extproc.ProcessingRequest_ResponseHeaders{ResponseHeaders: httpHeaders(
			":status", "200", "content-type", "text/event-stream")}})
		exchange(&extproc.ProcessingRequest{Request: &extproc.ProcessingRequest_ResponseBody{ResponseBody: &extproc.HttpBody{
			Body: []byte(`data: {"choices":[{"index":0,"delta":{"content":"a"}}]}` + "\n\n")}}})
		if leaves {
			leave()
		} else {
			exchange(&extproc.ProcessingRequest{Request: &extproc.ProcessingRequest_ResponseBody{ResponseBody: &extproc.HttpBody{
				Body: []byte("data: [DONE]\n\n"), EndOfStream: true}}})
			_ = stream.CloseSend()
		}
		if _, err := spans.WaitSpans(ctx, 1); err != nil {
			t.Fatal(err)
		}
		leave()
		want := "chat m [client] [parent elsewhere]\n"
		if leaves {
			want = "chat m [client] [error: client_gone] [parent elsewhere]\n"
		}
		if got := spans.Tree(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
}
