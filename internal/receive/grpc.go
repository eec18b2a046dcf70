package receive

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // senders may compress
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	traceService = "opentelemetry.proto.collector.trace.v1.TraceService"
	otlpServices = "/opentelemetry.proto.collector."
)

// newGRPC returns the server for OTLP/gRPC. Export is registered as a stream of one message each way, which is the same on the
// wire: so the handler decides when the message is read into memory. Until then a connection holds no more than its window.
func (s *Server) newGRPC() *grpc.Server {
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(codec{}),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.InitialWindowSize(256<<10),
		grpc.InitialConnWindowSize(1<<20),
		grpc.MaxConcurrentStreams(100),
		grpc.ConnectionTimeout(helloTimeout),
		// A peer that has vanished is found out in a minute and a half; clients may ping as often as they like.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 30 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.InTapHandle(limitTime),
		grpc.UnknownServiceHandler(s.refuseService),
	)
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: traceService,
		HandlerType: (*any)(nil),
		Streams:     []grpc.StreamDesc{{StreamName: "Export", Handler: s.export, ClientStreams: true}},
	}, s)
	return server
}

// limitTime bounds the time of a call, also that in which its message dribbles in. The call's end releases the timer.
func limitTime(ctx context.Context, _ *tap.Info) (context.Context, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	context.AfterFunc(ctx, cancel)
	return ctx, nil
}

// export handles one call of TraceService.Export.
func (s *Server) export(_ any, stream grpc.ServerStream) error {
	s.requests.Add(1)
	answer, err := s.exportOne(stream)
	if err != nil {
		s.refused.Add(1)
		return err
	}
	return stream.SendMsg(answer)
}

func (s *Server) exportOne(stream grpc.ServerStream) (answer []byte, err error) {
	ctx := stream.Context()
	if !s.enter(ctx) {
		return nil, status.Error(errFull.code, errFull.message)
	}
	defer s.leave()
	m := messages.Get().(*message)
	defer m.release()
	if err := stream.RecvMsg(m); err != nil {
		return nil, explainReceive(ctx, err)
	}
	a, no := s.take(ctx, m.body)
	if no != nil {
		return nil, status.Error(no.code, no.message)
	}
	return a.protobuf(), nil
}

// explainReceive makes a status for the sender of why its message could not be read.
func explainReceive(ctx context.Context, err error) error {
	switch {
	case status.Code(err) == codes.ResourceExhausted:
		return status.Error(errTooLarge.code, errTooLarge.message)
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	case status.Code(err) == codes.Unknown:
		return status.Error(codes.InvalidArgument, fmt.Sprintf("read request: %v", err))
	}
	return err
}

// refuseService answers calls of other services and methods.
func (s *Server) refuseService(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	if !strings.HasPrefix(method, otlpServices) {
		return status.Errorf(codes.Unimplemented, "forkspan takes OTLP traces only; it has no %s", method)
	}
	s.others.Add(1)
	switch {
	case strings.HasPrefix(method, otlpServices+"metrics."):
		return status.Error(codes.Unimplemented, noMetrics)
	case strings.HasPrefix(method, otlpServices+"logs."):
		return status.Error(codes.Unimplemented, noLogs)
	}
	return status.Error(codes.Unimplemented, noProfiles)
}

// message is a request's bytes on loan from messages.
type message struct{ body []byte }

var messages = sync.Pool{New: func() any { return &message{} }}

// keepBytes is the largest buffer that is kept for the next request.
const keepBytes = 2 << 20

func (m *message) release() {
	if cap(m.body) <= keepBytes {
		messages.Put(m)
	}
}

// codec hands over the bytes of messages as they are.
type codec struct{}

// Marshal implements [encoding.CodecV2].
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("cannot send %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

// Unmarshal implements [encoding.CodecV2].
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*message)
	if !ok {
		return fmt.Errorf("cannot receive into %T", v)
	}
	m.body = slices.Grow(m.body[:0], data.Len())
	for _, b := range data {
		m.body = append(m.body, b.ReadOnlyData()...)
	}
	return nil
}

// Name implements [encoding.CodecV2].
func (codec) Name() string { return "proto" }

// protobuf is the answer as an ExportTraceServiceResponse.
func (a accepted) protobuf() []byte {
	if a.rejected == 0 {
		return []byte{}
	}
	var partial []byte
	partial = protowire.AppendTag(partial, 1, protowire.VarintType)
	partial = protowire.AppendVarint(partial, uint64(a.rejected))
	partial = protowire.AppendTag(partial, 2, protowire.BytesType)
	partial = protowire.AppendString(partial, a.message())
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), partial)
}
