package forkspan_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"forkspan.dev/forkspan"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

var epoch = time.Unix(1_700_000_000, 0)

// line returns the line that calls it.
func line() int {
	_, _, n, _ := runtime.Caller(1)
	return n
}

// engine has methods that are traced, to see their names.
type engine struct{}

func (*engine) Load(ctx context.Context) (at int, err error) {
	_, span := forkspan.Start(ctx, "Load model")
	at = line() - 1
	defer forkspan.End(span, &err)
	return at, nil
}

func (*engine) warmUp(context.Context, int) (string, error) { return "warm", nil }

func TestCallSites(t *testing.T) {
	const pkg = "forkspan.dev/forkspan_test"
	tr, rec := record(t)
	at, _ := (&engine{}).Load(t.Context())
	want := []string{"(*engine).Load " + strconv.Itoa(at)}

	forkspan.Do(t.Context(), "Do", func(context.Context) error { return nil })
	want = append(want, "TestCallSites "+strconv.Itoa(line()-1))
	tr.Do(t.Context(), "Do", func(context.Context) error { return nil })
	want = append(want, "TestCallSites "+strconv.Itoa(line()-1))
	_, span := tr.Start(t.Context(), "Start", attribute.Bool("more", true))
	want = append(want, "TestCallSites "+strconv.Itoa(line()-1))
	span.End()
	_, span = forkspan.StartWith(t.Context(), "StartWith", trace.WithNewRoot())
	want = append(want, "TestCallSites "+strconv.Itoa(line()-1))
	span.End()
	_, span = tr.StartWith(t.Context(), "StartWith")
	want = append(want, "TestCallSites "+strconv.Itoa(line()-1))
	span.End()
	func() {
		_, span := forkspan.Start(t.Context(), "closure")
		want = append(want, "TestCallSites.func3 "+strconv.Itoa(line()-1))
		span.End()
	}()
	for i, s := range rec.Ended() {
		if got := attr(s, "code.function") + " " + attr(s, "code.lineno"); got != want[i] {
			t.Errorf("%s: %s, want %s", s.Name(), got, want[i])
		}
		if got := attr(s, "code.namespace"); got != pkg {
			t.Errorf("%s: code.namespace = %s", s.Name(), got)
		}
		if got := attr(s, "code.filepath"); !strings.HasSuffix(got, "span_test.go") {
			t.Errorf("%s: code.filepath = %s", s.Name(), got)
		}
	}
}

func TestWrap(t *testing.T) {
	warmUp := forkspan.Wrap("", (&engine{}).warmUp, attribute.String("phase", "start"))
	wrapped := strconv.Itoa(line() - 1)
	if out, err := warmUp(t.Context(), 1); out != "warm" || err != nil {
		t.Errorf("disabled: %q, %v", out, err)
	}
	_, rec := record(t)
	if out, err := warmUp(t.Context(), 1); out != "warm" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	s := rec.Ended()[0]
	if s.Name() != "(*engine).warmUp" || attr(s, "code.function") != "(*engine).warmUp" || attr(s, "phase") != "start" ||
		attr(s, "code.lineno") != wrapped {
		t.Errorf("%s: %v", s.Name(), s.Attributes())
	}
	named := forkspan.Wrap("Load model", func(_ context.Context, path string) (int, error) { return 0, errors.New(path) })
	if _, err := named(t.Context(), "nowhere"); err == nil || err.Error() != "nowhere" {
		t.Errorf("error %v", err)
	}
	s = rec.Ended()[1]
	if s.Name() != "Load model" || s.Status().Description != "*errors.errorString: nowhere" ||
		attr(s, "code.function") != "TestWrap.func1" {
		t.Errorf("%s %s: %v", s.Name(), s.Status().Description, s.Attributes())
	}
}

func TestCodeNames(t *testing.T) {
	const both = "code.file.path code.filepath code.function code.function.name code.line.number code.lineno code.namespace"
	for optIn, want := range map[string]string{
		"":                   "code.filepath code.function code.lineno code.namespace",
		"http,code":          "code.file.path code.function.name code.line.number",
		"code/dup":           both,
		"code, code/dup":     both,
		"http/dup,databases": "code.filepath code.function code.lineno code.namespace",
	} {
		t.Run(optIn, func(t *testing.T) {
			t.Setenv("OTEL_SEMCONV_STABILITY_OPT_IN", optIn)
			_, rec := record(t)
			_, span := forkspan.Start(t.Context(), "x")
			span.End()
			s := rec.Ended()[0]
			set := attribute.NewSet(s.Attributes()...)
			var keys []string
			for _, kv := range set.ToSlice() {
				keys = append(keys, string(kv.Key))
			}
			if got := strings.Join(keys, " "); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if v, ok := set.Value("code.lineno"); ok && v.Type() != attribute.STRING {
				t.Errorf("code.lineno is a %v, vLLM's is a string", v.Type())
			}
			if v, ok := set.Value("code.line.number"); ok && v.Type() != attribute.INT64 {
				t.Errorf("code.line.number is a %v", v.Type())
			}
			if v, ok := set.Value("code.function.name"); ok && !strings.HasPrefix(v.AsString(), "forkspan.dev/forkspan_test.Test") {
				t.Errorf("code.function.name = %s", v.AsString())
			}
		})
	}
}

// The caller's attributes win, whether the sampler's answer is known beforehand or not.
func TestCallersAttributesWin(t *testing.T) {
	for name, opts := range map[string][]forkspan.Option{
		"known":   nil,
		"unknown": {forkspan.WithSampler(sdktrace.TraceIDRatioBased(1))},
	} {
		t.Run(name, func(t *testing.T) {
			_, rec := record(t, opts...)
			mine := attribute.String("code.function", "mine")
			_, span := forkspan.Start(t.Context(), "x", mine)
			span.End()
			_, span = forkspan.StartWith(t.Context(), "x", trace.WithAttributes(mine))
			span.End()
			for _, s := range rec.Ended() {
				if attr(s, "code.function") != "mine" || attr(s, "code.lineno") == "" {
					t.Errorf("%v", s.Attributes())
				}
			}
		})
	}
}

type attributeSampler struct{ seen []attribute.KeyValue }

func (s *attributeSampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	s.seen = append(s.seen, p.Attributes...)
	return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
}
func (s *attributeSampler) Description() string { return "attributeSampler" }

func TestSamplersSeeAttributes(t *testing.T) {
	s := &attributeSampler{}
	record(t, forkspan.WithSampler(s))
	_, span := forkspan.Start(t.Context(), "x", attribute.Int("a", 1))
	span.End()
	forkspan.Record(t.Context(), "y", epoch, epoch, forkspan.RecordAttributes(attribute.Int("b", 2)))
	if fmt.Sprint(s.seen) != fmt.Sprint([]attribute.KeyValue{attribute.Int("a", 1), attribute.Int("b", 2)}) {
		t.Errorf("the sampler saw %v", s.seen)
	}
}

func TestEnd(t *testing.T) {
	boom := errors.New("boom")
	tests := []struct {
		name   string
		run    func(span trace.Span) error
		panics any
		status string
		event  bool
	}{
		{name: "returns", run: func(trace.Span) error { return nil }},
		{name: "fails", run: func(trace.Span) error { return boom }, status: "*errors.errorString: boom", event: true},
		{name: "panics with an error", run: func(trace.Span) error { panic(boom) }, panics: boom,
			status: "*errors.errorString: boom", event: true},
		{name: "panics with a text", run: func(trace.Span) error { panic("oops") }, panics: "oops",
			status: "string: oops", event: true},
		{name: "aborts a request", run: func(trace.Span) error { panic(http.ErrAbortHandler) }, panics: http.ErrAbortHandler},
		{name: "has ended", run: func(s trace.Span) error { s.End(); return boom }},
		{name: "tells a secret", run: func(trace.Span) error { return errors.New("get https://me:hunter2@h/: refused") },
			status: "*errors.errorString: get https://[redacted]@h/: refused", event: true},
		{name: "wraps the abort", run: func(trace.Span) error { return fmt.Errorf("x: %w", http.ErrAbortHandler) },
			status: "*fmt.wrapError: x: net/http: abort Handler", event: true},
		{name: "panics with what panics", run: func(trace.Span) error { panic(rude{}) }, panics: rude{},
			status: "forkspan_test.rude: %!v(PANIC=Error method: Error)", event: true},
		{name: "talks long", run: func(trace.Span) error { return errors.New(strings.Repeat("hello ", 5000) + "end") },
			status: "*errors.errorString: " + strings.TrimSpace(strings.Repeat("hello ", 2730)) + " …", event: true},
		{name: "an error that panics", run: func(trace.Span) error { return (*nilError)(nil) },
			status: "*forkspan_test.nilError: <nil>", event: true},
	}
	for _, without := range []bool{false, true} {
		for _, test := range tests {
			t.Run(fmt.Sprint(test.name, " ", without), func(t *testing.T) {
				var opts []forkspan.Option
				if without {
					opts = append(opts, forkspan.WithoutExceptionEvents())
				}
				tr, rec := record(t, opts...)
				for _, end := range []func(trace.Span, *error){forkspan.End, tr.End} {
					got := func() (v any) {
						defer func() { v = recover() }()
						func() (err error) {
							_, span := forkspan.Start(t.Context(), "x")
							defer end(span, &err)
							return test.run(span)
						}()
						return nil
					}()
					if got != test.panics {
						t.Errorf("panicked with %v, want %v", got, test.panics)
					}
				}
				if len(rec.Ended()) != 2 {
					t.Fatalf("%d spans ended, want 2", len(rec.Ended()))
				}
				for _, s := range rec.Ended() {
					wantCode := codes.Unset
					if test.status != "" {
						wantCode = codes.Error
					}
					if s.Status().Code != wantCode || s.Status().Description != test.status {
						t.Errorf("status %v", s.Status())
					}
					if got := len(s.Events()) == 1; got != (test.event && !without) {
						t.Errorf("events %v", s.Events())
					}
					for _, e := range s.Events() {
						set := attribute.NewSet(e.Attributes...)
						stack, _ := set.Value("exception.stacktrace")
						if e.Name != "exception" || !set.HasValue("exception.type") || !set.HasValue("exception.message") ||
							(test.panics != nil) != strings.Contains(stack.AsString(), "span_test.go") {
							t.Errorf("event %s %v", e.Name, e.Attributes)
						}
					}
				}
			})
		}
	}
}

type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

// rude is an error whose methods all panic.
type rude struct{}

func (rude) Error() string { panic("Error") }
func (rude) Is(error) bool { panic("Is") }
func (rude) Unwrap() error { panic("Unwrap") }

func TestEndOfNothing(t *testing.T) {
	forkspan.End(nil, nil)
	record(t)
	_, span := forkspan.Start(t.Context(), "x")
	forkspan.End(span, nil)
	func() {
		defer func() {
			if recover() != "through" {
				t.Error("a span that does not record has swallowed a panic")
			}
		}()
		defer forkspan.End(trace.SpanFromContext(t.Context()), nil)
		panic("through")
	}()
}

func TestGoexitEndsTheSpan(t *testing.T) {
	_, rec := record(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		forkspan.Do(t.Context(), "x", func(context.Context) error {
			runtime.Goexit()
			return nil
		})
	})
	wg.Wait()
	if len(rec.Ended()) != 1 || rec.Ended()[0].Status().Code != codes.Unset {
		t.Errorf("%d spans ended", len(rec.Ended()))
	}
}

func TestRecord(t *testing.T) {
	tr, rec := record(t)
	other := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	ctx := forkspan.Record(t.Context(), "llm_request", epoch, epoch.Add(time.Second),
		forkspan.RecordKind(trace.SpanKindServer),
		forkspan.RecordAttributes(attribute.Float64("gen_ai.latency.e2e", 1)),
		forkspan.RecordLinks(trace.Link{SpanContext: other}),
		forkspan.RecordEvent("first token", epoch.Add(time.Millisecond), attribute.Int("n", 1)),
		forkspan.RecordError(errors.New("cut off")))
	tr.Record(ctx, "prefill", epoch, time.Time{})
	request, prefill := rec.Ended()[0], rec.Ended()[1]
	if request.SpanKind() != trace.SpanKindServer || !request.StartTime().Equal(epoch) ||
		request.EndTime().Sub(epoch) != time.Second || len(request.Links()) != 1 || len(request.Events()) != 2 ||
		request.Status().Description != "*errors.errorString: cut off" || attr(request, "gen_ai.latency.e2e") != "1" {
		t.Errorf("%+v", request)
	}
	if at := request.Events()[1].Time; !at.Equal(epoch.Add(time.Second)) {
		t.Errorf("the exception is at %v, want the end", at)
	}
	if attr(request, "code.function") != "" {
		t.Error("has a call site")
	}
	if prefill.Parent().SpanID() != request.SpanContext().SpanID() || prefill.EndTime().Before(epoch.Add(time.Hour)) {
		t.Errorf("%+v", prefill)
	}
}

func TestRecordWithoutTimes(t *testing.T) {
	_, rec := record(t)
	forkspan.Record(t.Context(), "no start", time.Time{}, epoch, nil)
	forkspan.Record(t.Context(), "neither", time.Time{}, time.Time{})
	for _, s := range rec.Ended() {
		if s.StartTime().IsZero() || !s.StartTime().Equal(s.EndTime()) {
			t.Errorf("%s: from %v to %v, want one moment", s.Name(), s.StartTime(), s.EndTime())
		}
	}
	if at := rec.Ended()[0].EndTime(); !at.Equal(epoch) {
		t.Errorf("ended at %v", at)
	}
}

func TestDisabledCallsDoNotAllocate(t *testing.T) {
	ctx := t.Context()
	t.Setenv("traceparent", envParent)
	for name, call := range map[string]func(){
		"Start": func() { _ = disabledStart(ctx) },
		"Start with attributes": func() {
			_, span := forkspan.Start(ctx, "x", attribute.String("a", "b"), attribute.Int("n", 1), attribute.Bool("c", true))
			forkspan.End(span, nil)
		},
		"Do": func() {
			forkspan.Do(ctx, "x", func(context.Context) error { return nil }, attribute.String("a", "b"))
		},
		"StartWith": func() {
			_, span := forkspan.StartWith(ctx, "x")
			forkspan.End(span, nil)
		},
		"Wrap":    func() { wrapped(ctx, 1) },
		"methods": func() { disabledMethods(ctx) },
		"Record":  func() { forkspan.Record(ctx, "x", epoch, epoch) },
		"Enabled": func() { forkspan.Enabled() },
	} {
		if n := testing.AllocsPerRun(100, call); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

var wrapped = forkspan.Wrap("x", func(_ context.Context, in int) (int, error) { return in, nil }, attribute.Int("n", 1))

func disabledMethods(ctx context.Context) {
	var tr *forkspan.Tracer
	_, span := tr.Start(ctx, "x", attribute.String("a", "b"))
	tr.End(span, nil)
	tr.Do(ctx, "x", func(context.Context) error { return nil }, attribute.Int("n", 1))
	tr.Record(ctx, "x", epoch, epoch)
}

func disabledStart(ctx context.Context) (err error) {
	_, span := forkspan.Start(ctx, "x", attribute.String("a", "b"))
	defer forkspan.End(span, &err)
	return nil
}
