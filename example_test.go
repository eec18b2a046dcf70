package forkspan_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/forkspantest"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// show sets tracing up for an example. The function that it returns prints the spans as a tree.
func show(keys ...string) (*forkspan.Tracer, func()) {
	recorder := forkspantest.NewRecorder()
	tr, err := forkspan.Init(context.Background(), "example",
		forkspan.WithSpanProcessor(recorder), forkspan.WithoutExport())
	if err != nil {
		panic(err)
	}
	return tr, func() {
		fmt.Print(recorder.Tree(keys...))
		tr.Shutdown(context.Background())
	}
}

func ExampleInit() {
	ctx := context.Background()
	collector, err := forkspantest.StartCollector()
	if err != nil {
		panic(err)
	}
	defer collector.Close()
	os.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.Endpoint())
	defer os.Unsetenv("OTEL_EXPORTER_OTLP_ENDPOINT")

	tr, err := forkspan.Init(ctx, "llm-d.router")
	if err != nil {
		fmt.Println("tracing:", err) // tr is usable all the same
	}
	forkspan.Do(ctx, "Pick endpoint", func(context.Context) error { return nil })
	tr.Shutdown(ctx)

	fmt.Print(collector.Tree("service.name"))
	// Output: Pick endpoint service.name=llm-d.router
}

func ExampleInit_badConfiguration() {
	os.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:port")
	defer os.Unsetenv("OTEL_EXPORTER_OTLP_ENDPOINT")
	tr, err := forkspan.Init(context.Background(), "llm-d.router")
	var bad *forkspan.ConfigError
	if errors.As(err, &bad) {
		fmt.Println(bad.Var, "is", bad.Value)
	}
	fmt.Println(err)
	fmt.Println("enabled:", tr.Enabled())
	// Output:
	// OTEL_EXPORTER_OTLP_ENDPOINT is http://collector:port
	// read OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:port": parse endpoint: unusable port; used instead: tracing disabled
	// enabled: false
}

func ExampleInitWorker() {
	// No endpoint in the environment: nobody wants this worker's spans.
	tr, err := forkspan.InitWorker(context.Background(), "vllm.worker", "worker", "Worker_0")
	fmt.Println(tr.Enabled(), err)
	// Output: false <nil>
}

func ExampleNewExporter() {
	_, err := forkspan.NewExporter(context.Background(), "collector:4317", forkspan.WithProtocol("thrift"))
	fmt.Println(err)
	// Output: read WithProtocol="thrift": Unsupported OTLP protocol 'thrift' is configured; used instead: tracing disabled
}

type loader struct{}

func (*loader) Load(ctx context.Context, model string) (err error) {
	ctx, span := forkspan.Start(ctx, "Load model", attribute.String("model", model))
	defer forkspan.End(span, &err)
	return forkspan.Do(ctx, "Load weights", func(context.Context) error {
		return errors.New("no such file")
	})
}

func ExampleStart() {
	_, print := show("model", "code.function")
	defer print()

	err := (&loader{}).Load(context.Background(), "opt-125m")
	fmt.Println(err)
	// Output:
	// no such file
	// Load model [error: *errors.errorString: no such file] model=opt-125m code.function=(*loader).Load
	//   Load weights [error: *errors.errorString: no such file] code.function=(*loader).Load
}

func ExampleEnd() {
	_, print := show()
	defer print()

	defer func() { fmt.Println("recovered:", recover()) }()
	func() (err error) {
		_, span := forkspan.Start(context.Background(), "Warm up")
		defer forkspan.End(span, &err)
		panic("out of memory") // recorded, and let through
	}()
	// Output:
	// recovered: out of memory
	// Warm up [error: string: out of memory]
}

func ExampleStartWith() {
	_, print := show()
	defer print()

	_, span := forkspan.StartWith(context.Background(), "POST /v1/completions", trace.WithSpanKind(trace.SpanKindServer))
	span.End()
	// Output: POST /v1/completions [server]
}

func ExampleDo() {
	_, print := show("batch")
	defer print()

	forkspan.Do(context.Background(), "Warm up", func(ctx context.Context) error {
		return forkspan.Do(ctx, "Capture graph", func(context.Context) error { return nil }, attribute.Int("batch", 8))
	})
	// Output:
	// Warm up
	//   Capture graph batch=8
}

func ExampleWrap() {
	loadModel := forkspan.Wrap("Load model", func(_ context.Context, path string) (int, error) {
		return len(path), nil
	})

	_, print := show()
	defer print()
	size, err := loadModel(context.Background(), "/models/opt-125m")
	fmt.Println(size, err)
	// Output:
	// 16 <nil>
	// Load model
}

func ExampleRecord() {
	_, print := show("tokens")
	defer print()

	arrived := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	first, last := arrived.Add(200*time.Millisecond), arrived.Add(time.Second)
	ctx := forkspan.Record(context.Background(), "llm_request", arrived, last,
		forkspan.RecordKind(trace.SpanKindServer), forkspan.RecordAttributes(attribute.Int("tokens", 41)))
	forkspan.Record(ctx, "prefill", arrived, first)
	forkspan.Record(ctx, "decode", first, last)
	// Output:
	// llm_request [server] tokens=41
	//   prefill
	//   decode
}

func ExampleParentContext() {
	os.Setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	defer os.Unsetenv("TRACEPARENT")
	ctx := forkspan.ParentContext(context.Background())
	fmt.Println(trace.SpanContextFromContext(ctx).TraceID())
	// Output: 0af7651916cd43dd8448eb211c80319c
}

func ExampleExtract() {
	_, print := show()
	defer print()

	handle := func(r *http.Request) {
		ctx := forkspan.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := forkspan.StartWith(ctx, "request", trace.WithSpanKind(trace.SpanKindServer))
		defer forkspan.End(span, nil)
		fmt.Println(trace.SpanContextFromContext(ctx).TraceID())
	}
	r, _ := http.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	handle(r)
	// Output:
	// 0af7651916cd43dd8448eb211c80319c
	// request [server] [parent elsewhere]
}

func ExampleTraceHeaders() {
	h := http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "Accept": {"*/*"}}
	carrier := propagation.HeaderCarrier(h)
	fmt.Println(forkspan.HasTraceHeaders(carrier), forkspan.TraceHeaders(carrier))
	// Output: true map[traceparent:00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01]
}

func ExampleWarnIfDisabled() {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { slog.Warn("tracing", "err", err) }))
	handler := func(w http.ResponseWriter, r *http.Request) {
		forkspan.WarnIfDisabled(propagation.HeaderCarrier(r.Header)) // one warning, however many requests there are
		fmt.Fprintln(w, "served")
	}
	for range 2 {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		w := httptest.NewRecorder()
		handler(w, r)
		fmt.Print(w.Body)
	}
	// Output:
	// served
	// served
}

// remote is a context with a span of another process.
func remote() context.Context {
	return propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{
		"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
}

func ExampleEnviron() {
	env := forkspan.Environ(remote(), []string{"HOME=/root", "TRACEPARENT=stale"})
	slices.Sort(env)
	fmt.Println(strings.Join(env, "\n"))
	// Output:
	// HOME=/root
	// TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
	// traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
}

func ExampleCommand() {
	cmd := forkspan.Command(remote(), os.Args[0]) // this program, playing a child that prints what it is given
	cmd.Env = append(cmd.Env, roleVar+"=environ")
	out, err := cmd.Output()
	fmt.Print(string(out))
	fmt.Println(err)
	// Output:
	// traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
	// TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
	// <nil>
}

func ExamplePropagate() {
	cmd := exec.Command("worker", "--rank=0")
	cmd.Env = []string{"CUDA_VISIBLE_DEVICES=0"}
	forkspan.Propagate(remote(), cmd)
	slices.Sort(cmd.Env)
	fmt.Println(strings.Join(cmd.Env, "\n"))
	// Output:
	// CUDA_VISIBLE_DEVICES=0
	// TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
	// traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
}

func ExampleSetenv() {
	restore := forkspan.Setenv(remote())
	fmt.Println(os.Getenv("traceparent"))
	restore()
	_, ok := os.LookupEnv("traceparent")
	fmt.Println(ok)
	// Output:
	// 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
	// false
}

func ExampleEnabled() {
	fmt.Println(forkspan.Enabled())
	tr, _ := show()
	fmt.Println(forkspan.Enabled())
	tr.Shutdown(context.Background())
	// Output:
	// false
	// true
}

func ExampleTracer_OTel() {
	tr, print := show()
	defer print()
	// For a library that takes a tracer provider.
	_, span := tr.OTel().Tracer("library").Start(context.Background(), "library's own span")
	span.End()
	// Output: library's own span
}

func ExampleTracer_Flush() {
	collector, err := forkspantest.StartCollector()
	if err != nil {
		panic(err)
	}
	defer collector.Close()
	ctx := context.Background()
	tr, err := forkspan.Init(ctx, "example", forkspan.WithEndpoint(collector.Endpoint()))
	if err != nil {
		panic(err)
	}
	defer tr.Shutdown(ctx)
	_, span := forkspan.Start(ctx, "Write checkpoint")
	span.End()
	// Before something that the process may not survive.
	if err := tr.Flush(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Print(collector.Tree())
	// Output: Write checkpoint
}

func ExampleTracer_Shutdown() {
	collector, err := forkspantest.StartCollector()
	if err != nil {
		panic(err)
	}
	defer collector.Close()
	ctx, stop := context.WithCancel(context.Background())
	tr, err := forkspan.Init(ctx, "example", forkspan.WithEndpoint(collector.Endpoint()))
	if err != nil {
		panic(err)
	}
	_, span := forkspan.Start(ctx, "Serve")
	span.End()
	stop() // as signal.NotifyContext does; the last spans arrive all the same
	if err := tr.Shutdown(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Print(collector.Tree())
	fmt.Println(tr.Stats().Lost(), "lost")
	// Output:
	// Serve
	// 0 lost
}

func ExampleTracer_Stats() {
	tr, print := show()
	defer print()
	_, span := tr.Start(context.Background(), "Load model")
	stats := tr.Stats()
	fmt.Println(stats.Started, "started,", stats.Unfinished, "unfinished,", stats.Lost(), "lost")
	span.End()
	// Output:
	// 1 started, 1 unfinished, 0 lost
	// Load model
}

func ExampleWithJournal() {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	exporter := tracetest.NewInMemoryExporter()
	tr, err := forkspan.Init(ctx, "engine", forkspan.WithExporter(exporter), forkspan.WithJournal(dir))
	if err != nil {
		fmt.Println(err)
	}
	_, span := forkspan.Start(ctx, "Load model")
	during, _ := os.ReadDir(dir)
	forkspan.End(span, nil)
	_ = tr.Shutdown(ctx)
	after, _ := os.ReadDir(dir)
	fmt.Println(len(during), len(after))
	// Output: 1 0
}
