package forkspan

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// userAgent names us as the OTLP specification asks ("User Agent").
var userAgent = "OTel-OTLP-Exporter-Go/" + otlptrace.Version() + " forkspan"

type grpcSender struct {
	conn    *grpc.ClientConn
	headers metadata.MD
}

// newGRPCSender does not connect yet, so it fails only on a target that cannot be understood.
func newGRPCSender(c exportConfig) (*grpcSender, error) {
	creds := insecure.NewCredentials()
	if c.tls != nil {
		creds = credentials.NewTLS(c.tls)
	}
	opts := []grpc.DialOption{grpc.WithTransportCredentials(creds), grpc.WithUserAgent(userAgent)}
	if c.gzip {
		opts = append(opts, grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name)))
	}
	conn, err := grpc.NewClient(c.endpoint.DialTarget(), opts...)
	if err != nil {
		return nil, err
	}
	return &grpcSender{conn: conn, headers: metadata.New(c.headers)}, nil
}

// exportMethod is TraceService's only one.
const exportMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

func (s *grpcSender) send(ctx context.Context, req *tracepb.TracesData) (partialSuccess, error) {
	if s.headers.Len() > 0 {
		ctx = metadata.NewOutgoingContext(ctx, s.headers)
	}
	var resp emptypb.Empty // keeps all fields, as unknown ones
	if err := s.conn.Invoke(ctx, exportMethod, req, &resp); err != nil {
		return partialSuccess{}, retryableGRPC(err)
	}
	return parseAnswer(resp.ProtoReflect().GetUnknown())
}

func (s *grpcSender) close() error { return s.conn.Close() }

// retryableGRPC marks errors whose codes the OTLP specification calls retryable ("OTLP/gRPC Throttling").
func retryableGRPC(err error) error {
	st := status.Convert(err)
	after, asked := retryInfo(st)
	switch st.Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		return &retryError{err: err, after: after}
	case codes.ResourceExhausted:
		if asked {
			return &retryError{err: err, after: after}
		}
	}
	return err
}

// retryInfo finds google.rpc.RetryInfo among a status's details: field 1 is the duration to wait. It is read by hand,
// since its generated type would be one more module.
func retryInfo(st *status.Status) (time.Duration, bool) {
	for _, detail := range st.Proto().GetDetails() {
		if string(detail.MessageName()) != "google.rpc.RetryInfo" {
			continue
		}
		num, typ, n := protowire.ConsumeTag(detail.GetValue())
		if n < 0 || num != 1 || typ != protowire.BytesType {
			return 0, true
		}
		value, n := protowire.ConsumeBytes(detail.GetValue()[n:])
		var d durationpb.Duration
		if n < 0 || proto.Unmarshal(value, &d) != nil || !d.IsValid() {
			return 0, true
		}
		return max(0, d.AsDuration()), true
	}
	return 0, false
}
