package forkspantest_test

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"forkspan.dev/forkspan/forkspantest"
)

func ExampleNewRecorder() {
	recorder := forkspantest.NewRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("example")

	ctx, start := tracer.Start(context.Background(), "start")
	_, load := tracer.Start(ctx, "load model")
	load.SetStatus(codes.Error, "no such file")
	load.End()
	start.End()

	fmt.Print(recorder.Tree())
	// Output:
	// start
	//   load model [error: no such file]
}

func ExampleStartCollector() {
	collector, err := forkspantest.StartCollector()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer collector.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	exporter, _ := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(collector.TracesEndpoint()))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
	_, span := provider.Tracer("example").Start(ctx, "warm up")
	span.End()
	_ = provider.Shutdown(ctx)

	spans, err := collector.WaitSpans(ctx, 1)
	fmt.Println(spans[0].GetName(), err, collector.Requests()[0].Protocol)
	// Output: warm up <nil> http/protobuf
}

func ExampleCollector_Answer() {
	collector, err := forkspantest.StartCollector()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer collector.Close()
	collector.Answer(forkspantest.Answer{Rejected: 1, Message: "too old"})

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	exporter, _ := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(collector.TracesEndpoint()))
	recorder := forkspantest.NewRecorder()
	_, span := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("example").Start(ctx, "load")
	span.End()
	err = exporter.ExportSpans(ctx, recorder.Spans())

	fmt.Println(err)
	fmt.Println(len(collector.Requests()), "request,", len(collector.Spans()), "spans")
	_ = exporter.Shutdown(ctx)
	// Output:
	// traces export: OTLP partial success: too old (1 spans rejected)
	// 1 request, 0 spans
}
