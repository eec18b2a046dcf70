package forkspan_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/forkspantest"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"
)

func TestSecondInit(t *testing.T) {
	first, rec := record(t)
	second, err := forkspan.Init(t.Context(), "other", forkspan.WithoutExport(), forkspan.WithSpanProcessor(rec))
	if !errors.Is(err, forkspan.ErrInitialised) || second != first {
		t.Fatalf("second Init: %v, the first tracer: %v", err, second == first)
	}
	if err := first.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	third, rec3 := record(t)
	_, span := forkspan.Start(t.Context(), "goes to the third")
	span.End()
	if len(rec3.Ended()) != 1 || first.Enabled() || !third.Enabled() {
		t.Error("the tracer after a Shutdown is not in use")
	}
}

func TestInitAfterADisabledOne(t *testing.T) {
	if tr, err := forkspan.Init(t.Context(), "off"); err != nil || tr.Enabled() {
		t.Fatalf("enabled %v, error %v", tr.Enabled(), err)
	}
	if tr, _ := record(t); !tr.Enabled() {
		t.Error("not enabled")
	}
}

// OpenTelemetry hands the tracers that libraries take at start-up over to the first provider that is set, once. They have
// to follow the second Init all the same.
func TestEarlyTracersFollow(t *testing.T) {
	provider, propagator := otel.GetTracerProvider(), otel.GetTextMapPropagator()
	early := otel.Tracer("library")
	for range 2 {
		tr, rec := record(t)
		_, span := early.Start(t.Context(), "library span")
		span.End()
		otel.Tracer("late").Start(t.Context(), "late span")
		if len(rec.Ended()) != 1 || len(rec.Started()) != 2 {
			t.Errorf("%d spans started, %d ended", len(rec.Started()), len(rec.Ended()))
		}
		if err := tr.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, span := early.Start(t.Context(), "too late"); span.IsRecording() {
			t.Error("records after Shutdown")
		}
		if otel.GetTracerProvider() != provider || otel.GetTextMapPropagator() != propagator {
			t.Error("Shutdown did not put the globals back")
		}
	}
}

func TestForeignProvider(t *testing.T) {
	before := otel.GetTracerProvider()
	foreign := sdktrace.NewTracerProvider()
	otel.SetTracerProvider(foreign)
	t.Cleanup(func() { otel.SetTracerProvider(before) })

	rec := tracetest.NewSpanRecorder()
	opts := []forkspan.Option{forkspan.WithoutExport(), forkspan.WithSpanProcessor(rec)}
	tr, err := forkspan.Init(t.Context(), "test.module", opts...)
	if err == nil || !strings.Contains(err.Error(), "*trace.TracerProvider") {
		t.Errorf("error %v, want the foreign provider's type in it", err)
	}
	if otel.GetTracerProvider() != foreign || !tr.Enabled() {
		t.Error("the foreign provider was not left alone, or tracing is off")
	}
	if _, span := forkspan.Start(t.Context(), "ours"); !span.IsRecording() {
		t.Error("our own spans do not work")
	}
	tr.Shutdown(t.Context())

	tr, err = forkspan.Init(t.Context(), "test.module", append(opts, forkspan.WithReplaceGlobal())...)
	if err != nil || otel.GetTracerProvider() == foreign {
		t.Errorf("not replaced, error %v", err)
	}
	tr.Shutdown(t.Context())
	if otel.GetTracerProvider() != foreign {
		t.Error("Shutdown did not put the foreign provider back")
	}

	tr, err = forkspan.Init(t.Context(), "test.module", append(opts, forkspan.WithoutGlobals())...)
	if err != nil || otel.GetTracerProvider() != foreign {
		t.Errorf("WithoutGlobals: %v", err)
	}
	tr.Shutdown(t.Context())
}

func TestForeignPropagatorIsLeftAlone(t *testing.T) {
	before := otel.GetTextMapPropagator()
	otel.SetTextMapPropagator(propagation.Baggage{})
	t.Cleanup(func() { otel.SetTextMapPropagator(before) })
	record(t)
	if otel.GetTextMapPropagator() != (propagation.Baggage{}) {
		t.Error("replaced")
	}
}

func TestOTelOfADisabledTracer(t *testing.T) {
	var tr *forkspan.Tracer
	if tr.OTel() != noop.NewTracerProvider() || tr.Enabled() || tr.Stats() != (forkspan.Stats{}) {
		t.Error("a nil tracer is more than disabled")
	}
	if err := errors.Join(tr.Flush(t.Context()), tr.Shutdown(t.Context())); err != nil {
		t.Error(err)
	}
	tr.Record(t.Context(), "x", epoch, epoch)
	if err := tr.Do(t.Context(), "x", func(context.Context) error { return os.ErrExist }); err != os.ErrExist {
		t.Error(err)
	}
}

func TestResource(t *testing.T) {
	host, _ := os.Hostname()
	pid := strconv.Itoa(os.Getpid())
	tests := []struct {
		name string
		env  map[string]string
		opts []forkspan.Option
		want map[string]string
	}{
		{"alone", nil, nil, map[string]string{
			"service.name": "test.module", "vllm.instrumenting_module_name": "test.module", "vllm.process_id": pid,
			"process.pid": pid, "host.name": host, "telemetry.sdk.language": "go", "telemetry.sdk.name": "opentelemetry"}},
		{"environment", map[string]string{
			"OTEL_RESOURCE_ATTRIBUTES": "service.name=attr,team=a%20b,vllm.process_id=1,forkspan.run.id=7K3F",
			"OTEL_SERVICE_NAME":        "variable"},
			[]forkspan.Option{forkspan.WithResourceAttributes(attribute.String("team", "option"))},
			map[string]string{"service.name": "variable", "team": "option", "vllm.process_id": pid, "forkspan.run.id": "7K3F"}},
		{"service.name as attribute", map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "service.name=attr,team=a%20b"}, nil,
			map[string]string{"service.name": "attr", "team": "a b"}},
		{"service.name as option", map[string]string{"OTEL_SERVICE_NAME": "variable"},
			[]forkspan.Option{forkspan.WithServiceName("option")}, map[string]string{"service.name": "option"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for k, v := range test.env {
				t.Setenv(k, v)
			}
			_, rec := record(t, test.opts...)
			_, span := forkspan.Start(t.Context(), "x")
			span.End()
			resource := rec.Ended()[0].Resource()
			for key, want := range test.want {
				if got := attr(resource, key); got != want {
					t.Errorf("%s = %q, want %q", key, got, want)
				}
			}
			if v, _ := resource.Set().Value("vllm.process_id"); v.Type() != attribute.STRING {
				t.Errorf("vllm.process_id is a %v, vLLM's is a string", v.Type())
			}
			if len(attr(resource, "service.instance.id")) != 36 {
				t.Errorf("service.instance.id = %q", attr(resource, "service.instance.id"))
			}
		})
	}
}

func TestServiceWithoutAName(t *testing.T) {
	rec := tracetest.NewSpanRecorder()
	tr, err := forkspan.Init(t.Context(), "", forkspan.WithoutExport(), forkspan.WithSpanProcessor(rec))
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Shutdown(context.Background())
	_, span := tr.Start(t.Context(), "x")
	span.End()
	if name := attr(rec.Ended()[0].Resource(), "service.name"); !strings.HasPrefix(name, "unknown_service:") {
		t.Errorf("service.name = %q", name)
	}
}

func TestInitWorker(t *testing.T) {
	c := forkspantest.NewCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", c.Endpoint())
	tr, err := forkspan.InitWorker(t.Context(), "vllm.worker", "worker", "Worker_1")
	if err != nil {
		t.Fatal(err)
	}
	_, span := tr.Start(t.Context(), "x")
	span.End()
	if err := tr.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, _ := c.Find("x")
	for key, want := range map[string]string{"vllm.process_kind": "worker", "vllm.process_name": "Worker_1",
		"vllm.instrumenting_module_name": "vllm.worker"} {
		if got, _ := s.ResourceAttribute(key); got != want {
			t.Errorf("%s = %v, want %s", key, got, want)
		}
	}
	if s.Scope.GetName() != "vllm.worker" {
		t.Errorf("scope %q", s.Scope.GetName())
	}
}

func TestSamplersAndLimits(t *testing.T) {
	for _, test := range []struct {
		sampler, arg, parent string
		want                 int
	}{
		{"always_on", "", envParent[:53] + "00", 1},
		{"always_off", "", envParent, 0},
		{"parentbased_always_on", "", envParent[:53] + "00", 0},
		{"parentbased_always_off", "", envParent, 1},
		{"traceidratio", "0", envParent, 0},
		{"parentbased_traceidratio", "0", envParent, 1},
		{"Parentbased_TraceIDRatio", " 1.0 ", "", 1},
		{"", "", envParent[:53] + "00", 0},
	} {
		t.Run(test.sampler+" "+test.parent, func(t *testing.T) {
			t.Setenv("OTEL_TRACES_SAMPLER", test.sampler)
			t.Setenv("OTEL_TRACES_SAMPLER_ARG", test.arg)
			if test.parent != "" {
				t.Setenv("traceparent", test.parent)
			}
			t.Setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "5")
			tr, rec := record(t)
			_, span := forkspan.Start(t.Context(), "x", attribute.Int("a", 1), attribute.Int("b", 2))
			span.End()
			_, span = forkspan.StartWith(t.Context(), "y")
			span.End()
			if len(rec.Ended()) != 2*test.want || int(tr.Stats().Ended) != 2*test.want {
				t.Errorf("%d spans, stats %+v, want %d", len(rec.Ended()), tr.Stats(), test.want)
			}
			for _, s := range rec.Ended() {
				if attr(s, "code.function") == "" {
					t.Errorf("%s has no call site", s.Name())
				}
			}
			if test.want > 0 {
				if s := rec.Ended()[0]; len(s.Attributes()) != 5 || s.DroppedAttributes() != 1 {
					t.Errorf("%d attributes, %d dropped", len(s.Attributes()), s.DroppedAttributes())
				}
			}
		})
	}
}
