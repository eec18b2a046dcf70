package forkspan_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/forkspantest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Every option goes before its variable, which is set to something that would not work.
func TestOptionsGoBeforeTheEnvironment(t *testing.T) {
	c := forkspantest.NewCollector(t, forkspantest.WithTLS())
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://192.0.2.1:4317", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "nonsense",
		"OTEL_EXPORTER_OTLP_HEADERS": "api-key=environment", "OTEL_EXPORTER_OTLP_TIMEOUT": "nonsense",
		"OTEL_EXPORTER_OTLP_COMPRESSION": "nonsense", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nonsense",
		"OTEL_TRACES_SAMPLER": "always_off", "OTEL_TRACES_EXPORTER": "none",
	} {
		t.Setenv(name, value)
	}
	tr := start(t, forkspan.WithEndpoint(c.TracesEndpoint()), forkspan.WithProtocol("http/protobuf"),
		forkspan.WithHeaders(map[string]string{"Api-Key": "option"}), forkspan.WithTimeout(time.Minute),
		forkspan.WithCompression("gzip"), forkspan.WithTLSConfig(c.ClientTLS()),
		forkspan.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample())), forkspan.WithIDGenerator(&counter{}), nil)
	spans(t.Context(), 1)
	if err := tr.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := c.Requests()[0]
	if r.Protocol != "http/protobuf" || r.Compression != "gzip" || r.Header.Get("Api-Key") != "option" {
		t.Errorf("protocol %s, compression %q, header %q", r.Protocol, r.Compression, r.Header.Get("Api-Key"))
	}
	s, _ := c.Find("work")
	if id := trace.TraceID(s.GetTraceId()); id.String() != "00000000000000000000000000000001" {
		t.Errorf("trace id %s", id)
	}
	if _, ok := s.Attribute("code.function"); !ok {
		t.Error("no call site")
	}
}

func TestWithPropagators(t *testing.T) {
	tr, _ := record(t, forkspan.WithPropagators(propagation.Baggage{}))
	h := propagation.MapCarrier{"traceparent": envParent}
	if got := parentOf(tr.Extract(t.Context(), h)); got != "root" {
		t.Errorf("took %s", got)
	}
	if got := parentOf((*forkspan.Tracer)(nil).Extract(t.Context(), h)); got != envParent {
		t.Errorf("a disabled tracer has %s", got)
	}
}

func TestSamplersGivenAsOption(t *testing.T) {
	for _, s := range []sdktrace.Sampler{
		sdktrace.AlwaysSample(), sdktrace.NeverSample(), sdktrace.TraceIDRatioBased(1), sdktrace.ParentBased(sdktrace.NeverSample()),
	} {
		t.Run(s.Description(), func(t *testing.T) {
			_, rec := record(t, forkspan.WithSampler(s))
			want := s.ShouldSample(sdktrace.SamplingParameters{ParentContext: t.Context()}).Decision == sdktrace.RecordAndSample
			_, span := forkspan.Start(t.Context(), "x", attribute.Int("a", 1))
			if span.IsRecording() != want || !span.SpanContext().IsValid() {
				t.Errorf("recording %v", span.IsRecording())
			}
			span.End()
			for _, s := range rec.Ended() {
				if attr(s, "code.function") == "" || attr(s, "a") != "1" {
					t.Errorf("attributes %v", s.Attributes())
				}
			}
		})
	}
}

// contrary embeds a sampler, and with it that one's description, and samples nevertheless.
type contrary struct{ sdktrace.Sampler }

func (contrary) ShouldSample(sdktrace.SamplingParameters) sdktrace.SamplingResult {
	return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
}

func TestSamplerWithTheDescriptionOfAnother(t *testing.T) {
	off := contrary{sdktrace.NeverSample()}
	for name, s := range map[string]sdktrace.Sampler{
		"itself": off, "as delegate": sdktrace.ParentBased(sdktrace.AlwaysSample(), sdktrace.WithRemoteParentNotSampled(off)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("traceparent", strings.TrimSuffix(envParent, "1")+"0")
			_, rec := record(t, forkspan.WithSampler(s))
			_, span := forkspan.Start(t.Context(), "x", attribute.Int("a", 1))
			span.End()
			if len(rec.Ended()) != 1 || attr(rec.Ended()[0], "a") != "1" || attr(rec.Ended()[0], "code.function") == "" {
				t.Errorf("spans %v", rec.Ended())
			}
		})
	}
}

func TestEndpointOptionWinsOverTheEnvironment(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	t.Setenv(endpoint, "other:4317")
	t.Setenv("OTEL_TRACES_EXPORTER", "zipkin")
	tr, err := forkspan.Init(t.Context(), "m", forkspan.WithEndpoint("mine:4317"), forkspan.WithoutEnvironment())
	defer tr.Shutdown(context.Background())
	var bad *forkspan.ConfigError
	if !tr.Enabled() || !errors.As(err, &bad) || bad.Var != "OTEL_TRACES_EXPORTER" || bad.Used != "WithEndpoint" {
		t.Errorf("enabled %v, error %v", tr.Enabled(), err)
	}
	for _, test := range []struct{ child, want string }{
		{"other:4317", "http://mine:4317"}, {"third:4317", "third:4317"}, {"", ""},
	} {
		env := forkspan.Environ(t.Context(), append(os.Environ(), endpoint+"="+test.child))
		if !slices.Contains(env, endpoint+"="+test.want) {
			t.Errorf("a child's %q did not become %q: %q", test.child, test.want, env)
		}
	}
}

// counter generates ids 1, 2, 3 …
type counter struct{ n uint64 }

func (c *counter) NewIDs(ctx context.Context) (id trace.TraceID, span trace.SpanID) {
	c.n++
	binary.BigEndian.PutUint64(id[8:], c.n)
	return id, c.NewSpanID(ctx, id)
}

func (c *counter) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	c.n++
	binary.BigEndian.PutUint64(id[:], c.n)
	return id
}
