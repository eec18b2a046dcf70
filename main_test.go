package forkspan_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"forkspan.dev/forkspan"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"
)

// roleVar makes the test's own program play a child process.
const roleVar = "FORKSPAN_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVar); role != "" {
		os.Exit(playRole(role))
	}
	// The tests say what is in the environment, wherever they are run.
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		switch strings.ToLower(name) {
		case "traceparent", "tracestate", "baggage":
			os.Unsetenv(name)
		default:
			if strings.HasPrefix(name, "OTEL_") || strings.HasPrefix(name, "FORKSPAN_") {
				os.Unsetenv(name)
			}
		}
	}
	goleak.VerifyTestMain(m)
}

func playRole(role string) int {
	ctx := context.Background()
	switch role {
	case "worker": // traces itself, as its parent process has arranged
		tr, err := forkspan.InitWorker(ctx, "test.worker", "worker", "Worker_0")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		forkspan.Do(ctx, "Worker init", func(context.Context) error { return nil })
		if err := tr.Shutdown(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	case "silent": // records nothing, and starts a worker
		cmd := forkspan.Command(ctx, os.Args[0])
		cmd.Env = append(cmd.Env, roleVar+"=worker")
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	case "warn": // gets requests with trace headers, with tracing on and off
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { fmt.Println(err) }))
		h := propagation.HeaderCarrier{"Traceparent": {envParent}}
		forkspan.WarnIfDisabled(propagation.HeaderCarrier{})
		tr, err := forkspan.Init(ctx, "test.warn", forkspan.WithoutExport(),
			forkspan.WithSpanProcessor(tracetest.NewSpanRecorder()))
		if err != nil {
			fmt.Println(err)
		}
		forkspan.WarnIfDisabled(h)
		tr.Shutdown(ctx)
		forkspan.WarnIfDisabled(h)
		forkspan.WarnIfDisabled(h)
	case "console": // prints its spans
		tr, err := forkspan.Init(ctx, "test.console")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		forkspan.Do(ctx, "Said aloud", func(context.Context) error { return nil })
		tr.Shutdown(ctx)
	case "journal": // keeps a journal until it is killed
		if err := leaveJournal(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	case "environ": // prints the trace variables that it was started with
		for _, name := range traceNames {
			if v, ok := os.LookupEnv(name); ok {
				fmt.Println(name + "=" + v)
			}
		}
	}
	return 0
}

var traceNames = []string{"traceparent", "TRACEPARENT", "tracestate", "TRACESTATE", "baggage", "BAGGAGE"}

const (
	envParent  = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	envParent2 = "00-1bf7651916cd43dd8448eb211c80319c-c7ad6b7169203331-03"
)

// record sets tracing up with a recorder for the length of the test.
func record(t *testing.T, opts ...forkspan.Option) (*forkspan.Tracer, *tracetest.SpanRecorder) {
	t.Helper()
	rec := tracetest.NewSpanRecorder()
	return start(t, append([]forkspan.Option{forkspan.WithoutExport(), forkspan.WithSpanProcessor(rec)}, opts...)...), rec
}

// start sets tracing up for the length of the test.
func start(t *testing.T, opts ...forkspan.Option) *forkspan.Tracer {
	t.Helper()
	tr, err := forkspan.Init(t.Context(), "test.module", opts...)
	if err != nil {
		t.Fatalf("Init: %v", err)
	}
	t.Cleanup(func() {
		if err := tr.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return tr
}

// attr returns an attribute of a span as text, empty when it is not there.
func attr(s interface{ Attributes() []attribute.KeyValue }, key string) string {
	for _, kv := range s.Attributes() {
		if string(kv.Key) == key {
			return kv.Value.String()
		}
	}
	return ""
}

// serve runs an HTTP server for the length of the test and returns its URL.
func serve(t *testing.T, handler http.HandlerFunc) string {
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}
