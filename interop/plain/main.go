// Command plain sends one span "work" with an OTLP exporter of OpenTelemetry Go that is told nothing but by its environment:
// plain grpc|http.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

func main() {
	log.SetFlags(0)
	if err := emit(context.Background(), os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func emit(ctx context.Context, protocol string) error {
	client := otlptracehttp.NewClient()
	if protocol == "grpc" {
		client = otlptracegrpc.NewClient()
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return fmt.Errorf("make exporter: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
	environment := propagation.MapCarrier{"traceparent": os.Getenv("TRACEPARENT")}
	_, span := provider.Tracer("interop").Start(propagation.TraceContext{}.Extract(ctx, environment), "work")
	span.End()
	if err := provider.ForceFlush(ctx); err != nil {
		return fmt.Errorf("send span: %w", err)
	}
	return provider.Shutdown(ctx)
}
