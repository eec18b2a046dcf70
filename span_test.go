package forkspan_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"forkspan.dev/forkspan"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

func TestStartTakesTheEnvironmentsParentAndEndRecordsTheError(t *testing.T) {
	t.Setenv("traceparent", envParent)
	_, rec := record(t)
	load := func(ctx context.Context) (err error) {
		ctx, span := forkspan.Start(ctx, "Load model", attribute.String("model", "opt-125m"))
		defer forkspan.End(span, &err)
		return forkspan.Do(ctx, "Load weights", func(context.Context) error { return errors.New("no such file") })
	}
	if err := load(t.Context()); err == nil {
		t.Fatal("the error got lost")
	}
	spans := rec.Ended()
	if len(spans) != 2 {
		t.Fatalf("%d spans, want 2", len(spans))
	}
	weights, model := spans[0], spans[1]
	if got := model.Parent(); got.SpanID().String() != "b7ad6b7169203331" || !got.IsRemote() {
		t.Errorf("parent of the first span = %v", got)
	}
	if weights.Parent().SpanID() != model.SpanContext().SpanID() {
		t.Errorf("the second span is not a child of the first")
	}
	if got := attr(model, "model"); got != "opt-125m" {
		t.Errorf("model = %q", got)
	}
	if got := attr(model, "code.function"); !strings.HasPrefix(got, "TestStartTakes") {
		t.Errorf("code.function = %q", got)
	}
	if got := weights.Status().Description; got != "*errors.errorString: no such file" {
		t.Errorf("status = %q", got)
	}
	env := forkspan.Environ(trace.ContextWithSpanContext(t.Context(), model.SpanContext()), []string{"A=1"})
	if want := "TRACEPARENT=00-" + model.SpanContext().TraceID().String(); !strings.Contains(strings.Join(env, "\n"), want) {
		t.Errorf("environment of a child: %q", env)
	}
}
