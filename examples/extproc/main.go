// Command extproc is an external processor for Envoy that traces requests to LLM servers: a span for each request, with time
// to first token, usage and how it ended, and the span's traceparent in the request that Envoy sends on. It uses the recorder
// of package genai alone, since here a request is no net/http request: it comes as messages on a gRPC stream.
//
//	go run . --listen 127.0.0.1:9002
//
// Envoy's filter, with the bodies as they come:
//
//	http_filters:
//	- name: envoy.filters.http.ext_proc
//	  typed_config:
//	    "@type": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor
//	    grpc_service: {envoy_grpc: {cluster_name: extproc}}
//	    failure_mode_allow: true
//	    processing_mode: {request_body_mode: BUFFERED, response_body_mode: STREAMED}
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/genai"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9002", "address to listen at")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen); err != nil {
		slog.Error("extproc", "err", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen string) error {
	tr, err := forkspan.Init(ctx, "extproc")
	if err != nil {
		slog.Warn("tracing", "err", err) // tr is usable all the same
	}
	defer func() { _ = tr.Shutdown(ctx) }()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := grpc.NewServer()
	extproc.RegisterExternalProcessorServer(server, &processor{recorder: genai.NewRecorder()})
	context.AfterFunc(ctx, server.GracefulStop)
	if err := server.Serve(l); !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
