package forkspantest

import (
	"context"
	"errors"
	"os"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"forkspan.dev/forkspan"
)

// contextVariables would give every span of a test a parent from whoever started the test.
var contextVariables = []string{"traceparent", "tracestate", "baggage", "TRACEPARENT", "TRACESTATE", "BAGGAGE"}

// Install makes a new recorder the tracer of package forkspan and of OpenTelemetry's globals until the test ends, and returns
// it. Every span is sampled and nothing is exported, whatever the environment says; a trace context in the environment is
// hidden. When the test ends, all that is put back. opts are added to those that Install gives to forkspan.Init.
//
// What it changes belongs to the whole process, so it panics in a test that runs in parallel with others, and fails the test
// while a tracer of forkspan.Init is still in use. Code under test that calls forkspan.Init itself gets this tracer, and
// forkspan.ErrInitialised.
func Install(t testing.TB, opts ...forkspan.Option) *Recorder {
	t.Helper()
	for _, name := range contextVariables {
		hide(t, name)
	}
	hide(t, "OTEL_SDK_DISABLED")
	recorder := NewRecorder()
	all := append([]forkspan.Option{
		forkspan.WithSpanProcessor(recorder),
		forkspan.WithoutExport(),
		forkspan.WithoutEnvironment(),
		forkspan.WithReplaceGlobal(),
		forkspan.WithSampler(sdktrace.AlwaysSample()),
	}, opts...)
	tracer, err := forkspan.Init(context.Background(), t.Name(), all...)
	if err != nil && (errors.Is(err, forkspan.ErrInitialised) || !tracer.Enabled()) {
		t.Fatalf("install recorder: %v", err)
	}
	t.Cleanup(func() {
		if err := tracer.Shutdown(context.Background()); err != nil {
			t.Errorf("take recorder out: %v", err)
		}
	})
	return recorder
}

// hide removes a variable until the test ends.
func hide(t testing.TB, name string) {
	t.Helper()
	t.Setenv(name, "") // puts the variable back at the end, and refuses parallel tests
	if err := os.Unsetenv(name); err != nil {
		t.Fatalf("hide %s: %v", name, err)
	}
}
