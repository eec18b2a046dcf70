package forkspan_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"forkspan.dev/forkspan"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// parentOf says what a span started in ctx has as its parent: traceparent and tracestate, or "root".
func parentOf(ctx context.Context) string {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return "root"
	}
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(trace.ContextWithSpanContext(context.Background(), sc), c)
	return strings.TrimSpace(c["traceparent"] + " " + c["tracestate"])
}

func TestParentContext(t *testing.T) {
	tests := []struct {
		name string
		env  []string
		want string
	}{
		{"none", nil, "root"},
		{"lower case", []string{"traceparent=" + envParent}, envParent},
		{"upper case", []string{"TRACEPARENT=" + envParent}, envParent},
		{"lower case wins", []string{"traceparent=" + envParent2, "TRACEPARENT=" + envParent}, envParent2},
		{"garbage in lower case wins", []string{"traceparent=garbage", "TRACEPARENT=" + envParent}, "root"},
		{"empty lower case wins", []string{"traceparent=", "TRACEPARENT=" + envParent}, "root"},
		{"tracestate", []string{"traceparent=" + envParent, "tracestate=a=1", "TRACESTATE=b=2"}, envParent + " a=1"},
		{"upper tracestate", []string{"traceparent=" + envParent, "TRACESTATE=b=2"}, envParent + " b=2"},
		{"bad tracestate", []string{"traceparent=" + envParent, "tracestate=???", "TRACESTATE=b=2"}, envParent},
		{"flags 03", []string{"traceparent=" + envParent2}, envParent2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, kv := range test.env {
				name, value, _ := strings.Cut(kv, "=")
				t.Setenv(name, value)
			}
			if got := parentOf(forkspan.ParentContext(t.Context())); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			_, rec := record(t)
			forkspan.Record(t.Context(), "x", epoch, epoch)
			_, span := forkspan.StartWith(t.Context(), "x")
			span.End()
			for _, s := range rec.Ended() {
				if got := parentOf(trace.ContextWithSpanContext(t.Context(), s.Parent())); got != test.want {
					t.Errorf("%s: parent %s, want %s", s.Name(), got, test.want)
				}
			}
			own, span := forkspan.Start(t.Context(), "y")
			if forkspan.ParentContext(own) != own {
				t.Error("the environment goes before a span in the context")
			}
			span.End()
		})
	}
}

func TestEnvironmentIsReadAgainWhenItChanges(t *testing.T) {
	for _, parent := range []string{envParent, envParent2, envParent} {
		t.Setenv("traceparent", parent)
		if got := parentOf(forkspan.ParentContext(t.Context())); got != parent {
			t.Errorf("%s, want %s", got, parent)
		}
	}
	os.Unsetenv("traceparent")
	if got := parentOf(forkspan.ParentContext(t.Context())); got != "root" {
		t.Errorf("%s is still there", got)
	}
}

// extracted starts a span in what Extract returns, and says its parent and the links.
func extractedSpan(t *testing.T, ctx context.Context, h http.Header, opts ...forkspan.ExtractOption) (parent, links string) {
	_, rec := record(t)
	ctx = forkspan.Extract(ctx, propagation.HeaderCarrier(h), opts...)
	_, span := forkspan.Start(ctx, "request")
	span.End()
	s := rec.Ended()[len(rec.Ended())-1]
	for _, l := range s.Links() {
		links += parentOf(trace.ContextWithSpanContext(ctx, l.SpanContext))
	}
	return parentOf(trace.ContextWithSpanContext(ctx, s.Parent())), links
}

func TestExtract(t *testing.T) {
	header := func(kv ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(kv); i += 2 {
			h.Add(kv[i], kv[i+1])
		}
		return h
	}
	ambient := []forkspan.ExtractOption{forkspan.WithAmbientParent()}
	tests := []struct {
		name          string
		header        http.Header
		opts          []forkspan.ExtractOption
		parent, links string
	}{
		{"valid", header("traceparent", envParent2, "tracestate", "a=1", "tracestate", "b=2"), nil, envParent2 + " a=1,b=2", ""},
		{"nothing", nil, nil, "root", envParent},
		{"nothing, vLLM's rule", nil, ambient, envParent, ""},
		{"garbage", header("traceparent", "garbage"), nil, "root", envParent},
		{"garbage, vLLM's rule", header("traceparent", "garbage"), ambient, "root", envParent},
		{"only a tracestate, vLLM's rule", header("tracestate", "a=1"), ambient, "root", envParent},
		{"twice", header("traceparent", envParent2, "traceparent", envParent2), nil, "root", envParent},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("traceparent", envParent)
			parent, links := extractedSpan(t, t.Context(), test.header, test.opts...)
			if parent != test.parent || links != test.links {
				t.Errorf("parent %s, links %q; want %s, %q", parent, links, test.parent, test.links)
			}
		})
	}
}

func TestExtractTwiceKeepsTheLink(t *testing.T) {
	t.Setenv("traceparent", envParent)
	once := forkspan.Extract(t.Context(), propagation.HeaderCarrier{})
	parent, links := extractedSpan(t, once, nil)
	if parent != "root" || links != envParent {
		t.Errorf("parent %s, links %q", parent, links)
	}
}

func TestExtractWithASpanInTheContext(t *testing.T) {
	_, rec := record(t)
	startUp, span := forkspan.Start(t.Context(), "start-up")
	defer span.End()
	local := span.SpanContext()

	ctx := forkspan.Extract(startUp, propagation.HeaderCarrier{})
	if trace.SpanContextFromContext(ctx).IsValid() {
		t.Error("a request without headers is a child of the start-up")
	}
	_, request := forkspan.StartWith(ctx, "request")
	request.End()
	forkspan.Record(ctx, "recorded", epoch, epoch)
	for _, s := range rec.Ended() {
		if s.Parent().IsValid() || len(s.Links()) != 1 || s.Links()[0].SpanContext.SpanID() != local.SpanID() {
			t.Errorf("%s: parent %v, links %v", s.Name(), s.Parent(), s.Links())
		}
	}

	// OpenTelemetry's middleware has started a span of the caller's trace already.
	h := http.Header{"Traceparent": {"00-" + local.TraceID().String() + "-1111111111111111-01"}}
	ctx = forkspan.Extract(startUp, propagation.HeaderCarrier(h))
	if got := trace.SpanContextFromContext(ctx); got.SpanID() != local.SpanID() {
		t.Errorf("the middleware's span was left out: %v", got)
	}
	if got := forkspan.Extract(startUp, nil, forkspan.WithAmbientParent()); !trace.SpanContextFromContext(got).Equal(local) {
		t.Error("vLLM's rule takes the span in the context")
	}
}

func TestExtractIsAlsoTheGlobalPropagator(t *testing.T) {
	record(t)
	h := propagation.HeaderCarrier{"Traceparent": {envParent, envParent}, "Baggage": {"k=v"}}
	ctx := otel.GetTextMapPropagator().Extract(t.Context(), h)
	if trace.SpanContextFromContext(ctx).IsValid() || baggage.FromContext(ctx).Member("k").Value() != "v" {
		t.Error("two traceparents were taken, or the baggage was not")
	}
}

func TestPropagatorsB3(t *testing.T) {
	t.Setenv("OTEL_PROPAGATORS", "b3")
	tr, _ := record(t)
	h := propagation.HeaderCarrier{"B3": {"0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1"}}
	if got := parentOf(tr.Extract(t.Context(), h)); got != envParent {
		t.Errorf("parent %s", got)
	}
	if got := parentOf(forkspan.Extract(t.Context(), propagation.HeaderCarrier{"Traceparent": {envParent}})); got != "root" {
		t.Errorf("tracecontext is off, and %s was taken", got)
	}
}

func TestTraceHeaders(t *testing.T) {
	for _, test := range []struct {
		carrier propagation.TextMapCarrier
		want    map[string]string
	}{
		{nil, map[string]string{}},
		{propagation.HeaderCarrier{"Accept": {"*/*"}}, map[string]string{}},
		{propagation.HeaderCarrier{"Traceparent": {envParent}, "Tracestate": {"a=1", "b=2"}, "Baggage": {"k=v"}},
			map[string]string{"traceparent": envParent, "tracestate": "a=1,b=2"}},
		{propagation.MapCarrier{"tracestate": "a=1"}, map[string]string{"tracestate": "a=1"}},
	} {
		got := forkspan.TraceHeaders(test.carrier)
		if got == nil || len(got) != len(test.want) || got["traceparent"] != test.want["traceparent"] ||
			got["tracestate"] != test.want["tracestate"] {
			t.Errorf("%v: %v", test.carrier, got)
		}
		if forkspan.HasTraceHeaders(test.carrier) != (len(test.want) > 0) {
			t.Errorf("%v: HasTraceHeaders is wrong", test.carrier)
		}
	}
}

// The warning comes once in a process, so it takes a process to see it.
func TestWarnIfDisabledOnce(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"=warn")
	out, err := cmd.Output()
	if want := forkspan.ErrDisabled.Error() + "\n"; err != nil || string(out) != want {
		t.Errorf("warned %q (%v), want %q", out, err, want)
	}
}
