package forkspan

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// answer is what the collector said to the last attempt of one export. Exporters tell failure from success; the number
// of spans that a partial success rejects is only in the answer itself.
type answer struct {
	accepted bool // the collector took the request
	rejected int  // spans of it that it did not take
}

type answerKey struct{}

func withAnswer(ctx context.Context, a *answer) context.Context {
	return context.WithValue(ctx, answerKey{}, a)
}

func (a *answer) note(resp *coltracepb.ExportTraceServiceResponse) {
	a.accepted = true
	a.rejected = int(max(0, resp.GetPartialSuccess().GetRejectedSpans()))
}

// noteGRPCAnswer is a client interceptor that notes the answer for whoever asked with withAnswer.
func noteGRPCAnswer(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(ctx, method, req, reply, cc, opts...)
	a, _ := ctx.Value(answerKey{}).(*answer)
	if a == nil {
		return err
	}
	*a = answer{}
	if resp, ok := reply.(*coltracepb.ExportTraceServiceResponse); ok && err == nil {
		a.note(resp)
	}
	return err
}

// maxAnswer bounds an answer in bytes; a collector's own are a few hundred.
const maxAnswer = 4 << 20

// noteHTTPAnswer does the same for an answer over HTTP, whose body it replaces by a copy.
func noteHTTPAnswer(ctx context.Context, resp *http.Response) error {
	a, _ := ctx.Value(answerKey{}).(*answer)
	if a == nil {
		return nil
	}
	*a = answer{}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	resp.Body.Close()
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	var msg coltracepb.ExportTraceServiceResponse
	switch media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media {
	case "application/x-protobuf":
		err = proto.Unmarshal(body, &msg)
	case "application/json":
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(body, &msg)
	}
	// An answer that cannot be read is garbage, not a collector's: the exporter fails on it, and so do we.
	if err == nil {
		a.note(&msg)
	}
	return nil
}
