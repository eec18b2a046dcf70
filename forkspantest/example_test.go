package forkspantest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/forkspantest"
)

// exampleT stands in for the *testing.T that a test has.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (t *exampleT) Helper()                   {}
func (t *exampleT) Name() string              { return "Example" }
func (t *exampleT) Cleanup(f func())          { t.cleanups = append(t.cleanups, f) }
func (t *exampleT) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (t *exampleT) Errorf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (t *exampleT) Setenv(name, value string) {
	before, ok := os.LookupEnv(name)
	_ = os.Setenv(name, value)
	t.Cleanup(func() {
		_ = os.Unsetenv(name)
		if ok {
			_ = os.Setenv(name, before)
		}
	})
}

func (t *exampleT) end() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}

func ExampleInstall() {
	t := &exampleT{} // in a test: its *testing.T
	defer t.end()

	recorder := forkspantest.Install(t)
	_ = forkspan.Do(context.Background(), "warm up", func(ctx context.Context) error {
		_, span := forkspan.Start(ctx, "compile", attribute.String("target", "cpu"))
		span.End()
		return errors.New("out of memory")
	})

	fmt.Print(recorder.Tree("target"))
	// Output:
	// warm up [error: *errors.errorString: out of memory]
	//   compile target=cpu
}

func ExampleNewCollector() {
	t := &exampleT{} // in a test: its *testing.T
	defer t.end()

	collector := forkspantest.NewCollector(t)
	tracer, _ := forkspan.Init(context.Background(), "example", forkspan.WithEndpoint(collector.Endpoint()),
		forkspan.WithoutEnvironment(), forkspan.WithoutGlobals())
	_, span := tracer.Start(context.Background(), "warm up")
	span.End()
	_ = tracer.Shutdown(context.Background())

	fmt.Print(collector.Tree("service.name"))
	// Output: warm up service.name=example
}

func ExampleBlackHole() {
	t := &exampleT{} // in a test: its *testing.T
	defer t.end()

	tracer, _ := forkspan.Init(context.Background(), "example",
		forkspan.WithEndpoint(forkspantest.BlackHole(t)), forkspan.WithoutEnvironment(), forkspan.WithoutGlobals())
	_, span := tracer.Start(context.Background(), "warm up")
	span.End()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_ = tracer.Shutdown(ctx)

	fmt.Println(tracer.Stats().Lost(), "span lost")
	// Output: 1 span lost
}

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
