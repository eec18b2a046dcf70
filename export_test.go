package forkspan_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/forkspantest"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
)

// spans starts and ends n spans.
func spans(ctx context.Context, n int) {
	for range n {
		_, span := forkspan.Start(ctx, "work", attribute.String("k", "v"))
		span.End()
	}
}

// checkAccount fails when a span is in no column of the account, or in two.
func checkAccount(t *testing.T, s forkspan.Stats) {
	t.Helper()
	if s.Started != s.Ended+s.Unfinished {
		t.Errorf("started %d, ended %d, unfinished %d", s.Started, s.Ended, s.Unfinished)
	}
	if sum := s.Exported + s.Rejected + s.Failed + s.QueueFull + s.AfterShutdown + s.Queued; sum != s.Ended {
		t.Errorf("%d spans ended, the account has %d: %+v", s.Ended, sum, s)
	}
}

func TestExportOverEachProtocol(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf", "http/json"} {
		for _, secure := range []bool{false, true} {
			name := protocol
			var opts []forkspantest.CollectorOption
			if secure {
				name += " with client certificate"
				opts = append(opts, forkspantest.WithTLS(), forkspantest.WithClientAuth())
			}
			t.Run(name, func(t *testing.T) {
				c := forkspantest.NewCollector(t, opts...)
				t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.Endpoint())
				t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
				t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "Api-Key=a%20b, other=c")
				t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
				if secure {
					t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", c.CAFile())
					t.Setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", c.ClientCertFile())
					t.Setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", c.ClientKeyFile())
				}
				tr := start(t)
				ctx, parent := forkspan.Start(t.Context(), "parent", attribute.Int("n", 7))
				_, child := forkspan.Start(ctx, "child")
				child.End()
				parent.End()
				if err := tr.Flush(t.Context()); err != nil {
					t.Fatalf("Flush: %v", err)
				}
				requests := c.Requests()
				if len(requests) != 1 || requests[0].Err != nil {
					t.Fatalf("requests %+v", requests)
				}
				r := requests[0]
				if r.Protocol != protocol || r.Compression != "gzip" || r.Header.Get("Api-Key") != "a b" {
					t.Errorf("protocol %s, compression %s, header %q", r.Protocol, r.Compression, r.Header.Get("Api-Key"))
				}
				if got := c.Tree("n"); got != "parent n=7\n  child\n" {
					t.Errorf("collector has\n%s", got)
				}
				if s := tr.Stats(); s.Exported != 2 || s.Lost() != 0 {
					t.Errorf("stats %+v", s)
				}
			})
		}
	}
}

func TestPathsAreKept(t *testing.T) {
	for name, test := range map[string]struct{ variable, path, want string }{
		"general":          {"OTEL_EXPORTER_OTLP_ENDPOINT", "/a%2Fb", "/a%2Fb/v1/traces"},
		"traces":           {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/spans", "/spans"},
		"traces, no path":  {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "", "/"},
		"traces and query": {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/spans?token=1", "/spans"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan *http.Request, 1)
			server := serve(t, func(_ http.ResponseWriter, r *http.Request) { asked <- r })
			t.Setenv(test.variable, strings.Replace(server, "//", "//user:pa%20ss@", 1)+test.path)
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
			tr := start(t)
			spans(t.Context(), 1)
			if err := tr.Flush(t.Context()); err != nil {
				t.Fatalf("Flush: %v", err)
			}
			r := <-asked
			user, password, _ := r.BasicAuth()
			if r.URL.EscapedPath() != test.want || user != "user" || password != "pa ss" {
				t.Errorf("asked for %s as %s:%s, want %s", r.URL.EscapedPath(), user, password, test.want)
			}
			if strings.Contains(test.path, "?") && r.URL.RawQuery != "token=1" {
				t.Errorf("the query is %q", r.URL.RawQuery)
			}
		})
	}
}

func TestCollectorInTrouble(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	const n = 10
	tests := []struct {
		name     string
		answer   forkspantest.Answer
		exported uint64
		rejected uint64
		failed   uint64
		waits    bool // the exporter would go on trying for as long as it may
	}{
		{name: "well", exported: n},
		{name: "slow", answer: forkspantest.Answer{Delay: 50 * time.Millisecond}, exported: n},
		{name: "partial success", answer: forkspantest.Answer{Rejected: 3, Message: "too old"}, exported: n - 3, rejected: 3},
		{name: "warning", answer: forkspantest.Answer{Message: "use TLS"}, exported: n},
		{name: "bad request", answer: forkspantest.Answer{Status: 400}, failed: n},
		{name: "garbage", answer: forkspantest.Answer{Garbage: []byte("\xff\xff\xff")}, failed: n},
		{name: "too many requests", answer: forkspantest.Answer{Status: 429, RetryAfter: time.Hour}, failed: n},
		{name: "unavailable", answer: forkspantest.Answer{Code: codes.Unavailable}, failed: n, waits: true},
		{name: "never answers", answer: forkspantest.Answer{Hold: hold}, failed: n, waits: true},
	}
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		for _, test := range tests {
			t.Run(protocol+" "+test.name, func(t *testing.T) {
				c := forkspantest.NewCollector(t)
				c.AnswerAll(test.answer)
				var reports errorList
				tr, err := forkspan.Init(t.Context(), "test.module", forkspan.WithEndpoint(c.TracesEndpoint()),
					forkspan.WithProtocol(protocol), forkspan.WithErrorHandler(reports.add))
				if err != nil {
					t.Fatal(err)
				}
				spans(t.Context(), n)
				timeout := time.Minute // Shutdown's own bound is 5 s
				if test.waits {
					timeout = 200 * time.Millisecond
				}
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				err = tr.Shutdown(ctx)
				s := tr.Stats()
				checkAccount(t, s)
				if s.Exported != test.exported || s.Rejected != test.rejected || s.Failed != test.failed || s.Queued != 0 {
					t.Errorf("stats %+v", s)
				}
				if (err != nil) != (s.Lost() > 0 || test.name == "warning") {
					t.Errorf("Shutdown: %v with %d spans lost", err, s.Lost())
				}
				if test.name == "never answers" && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Shutdown: %v, want the deadline", err)
				}
				if !test.waits && err != nil && !strings.Contains(reports.String(), "spans lost so far") {
					t.Errorf("reported: %s", reports.String())
				}
			})
		}
	}
}

func TestCollectorDownOrABlackHole(t *testing.T) {
	closed := forkspantest.NewCollector(t)
	closed.Close()
	for name, address := range map[string]string{"down": closed.Addr(), "black hole": forkspantest.BlackHole(t)} {
		for _, protocol := range []string{"grpc", "http/protobuf"} {
			t.Run(name+" "+protocol, func(t *testing.T) {
				tr, err := forkspan.Init(t.Context(), "test.module", forkspan.WithEndpoint("http://"+address),
					forkspan.WithProtocol(protocol), forkspan.WithErrorHandler(func(error) {}))
				if err != nil {
					t.Fatal(err)
				}
				spans(t.Context(), 1200) // more than two batches
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				if err := tr.Shutdown(ctx); err == nil {
					t.Error("Shutdown had nothing to say")
				}
				s := tr.Stats()
				checkAccount(t, s)
				if s.Ended != 1200 || s.Lost() != 1200 || s.Exported != 0 {
					t.Errorf("stats %+v", s)
				}
			})
		}
	}
}

func TestRetryAfterARestart(t *testing.T) {
	c := forkspantest.NewCollector(t)
	c.Answer(forkspantest.Answer{Code: codes.Unavailable}) // the first time only
	tr := start(t, forkspan.WithEndpoint(c.Endpoint()))
	spans(t.Context(), 3)
	if err := tr.Flush(t.Context()); err != nil {
		t.Errorf("Flush: %v", err)
	}
	if s := tr.Stats(); s.Exported != 3 || len(c.Requests()) != 2 {
		t.Errorf("stats %+v after %d requests", s, len(c.Requests()))
	}
}

func TestShutdownWithACancelledContextStillFlushes(t *testing.T) {
	c := forkspantest.NewCollector(t)
	tr, err := forkspan.Init(t.Context(), "test.module", forkspan.WithEndpoint(c.Endpoint()))
	if err != nil {
		t.Fatal(err)
	}
	spans(t.Context(), 2)
	_, open := tr.Start(t.Context(), "never ends")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tr.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	open.End()
	s := tr.Stats()
	checkAccount(t, s)
	if len(c.Spans()) != 2 || s.Exported != 2 || s.Unfinished != 1 {
		t.Errorf("collector has %d spans, stats %+v", len(c.Spans()), s)
	}
	if err := tr.Shutdown(ctx); err != nil {
		t.Errorf("second Shutdown: %v", err)
	}
}

func TestFullQueueIsCounted(t *testing.T) {
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "20")
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
	e := &blockedExporter{entered: make(chan struct{}, 100), release: make(chan struct{})}
	tr := start(t, forkspan.WithExporter(e))
	spans(t.Context(), 10)
	<-e.entered // one batch is out, the queue is empty
	spans(t.Context(), 25)
	if s := tr.Stats(); s.QueueFull != 5 || s.Queued != 30 {
		t.Errorf("stats %+v", s)
	}
	close(e.release)
	if err := tr.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	s := tr.Stats()
	checkAccount(t, s)
	if s.Exported != 30 {
		t.Errorf("stats %+v", s)
	}
}

func TestPanickingExporter(t *testing.T) {
	var reports errorList
	tr, err := forkspan.Init(t.Context(), "test.module", forkspan.WithExporter(panicExporter{}),
		forkspan.WithErrorHandler(reports.add))
	if err != nil {
		t.Fatal(err)
	}
	spans(t.Context(), 1)
	if err := tr.Shutdown(t.Context()); err == nil || !strings.Contains(err.Error(), "oh no") {
		t.Errorf("Shutdown: %v", err)
	}
	if s := tr.Stats(); s.Failed != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestBigSpansDoNotCostTheirNeighbours(t *testing.T) {
	const most = 4 << 20 // what gRPC servers take by default
	big := attribute.String("big", strings.Repeat("x", 1<<20))
	for _, protocol := range []string{"grpc", "http/protobuf", "http/json"} {
		t.Run(protocol, func(t *testing.T) {
			c := forkspantest.NewCollector(t)
			tr := start(t, forkspan.WithEndpoint(c.TracesEndpoint()), forkspan.WithProtocol(protocol))
			for range 6 {
				spans(t.Context(), 3)
				_, span := tr.Start(t.Context(), "big", big)
				span.End()
				_, span = tr.OTel().Tracer("other scope").Start(t.Context(), "small")
				span.End()
			}
			if err := tr.Flush(t.Context()); err != nil {
				t.Errorf("Flush: %v", err)
			}
			requests := c.Requests()
			if len(c.Spans()) != 30 || tr.Stats().Exported != 30 {
				t.Errorf("%d spans arrived: %+v", len(c.Spans()), tr.Stats())
			}
			for _, r := range requests {
				if r.Bytes > most+most/10 { // JSON is a little longer
					t.Errorf("a request of %d bytes", r.Bytes)
				}
			}
			for _, s := range c.Spans() {
				want := "test.module"
				if s.GetName() == "small" {
					want = "other scope"
				}
				if s.Scope.GetName() != want || len(s.Resource.GetAttributes()) == 0 {
					t.Fatalf("%s has the scope %q and the resource %v", s.GetName(), s.Scope.GetName(), s.Resource)
				}
			}

			// Of two messages one is refused, and of the other one span.
			c.Answer(forkspantest.Answer{Status: 400}, forkspantest.Answer{Rejected: 1, Message: "no"})
			for range 4 {
				_, span := tr.Start(t.Context(), "big", big)
				span.End()
			}
			if err := tr.Flush(t.Context()); err == nil || len(c.Requests()) != len(requests)+2 {
				t.Errorf("Flush: %v after %d requests", err, len(c.Requests())-len(requests))
			}
			checkAccount(t, tr.Stats())
			if s := tr.Stats(); s.Failed != 2 || s.Rejected != 1 || s.Exported != 31 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestTextThatIsNotUTF8CostsNoSpan(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf", "http/json"} {
		t.Run(protocol, func(t *testing.T) {
			c := forkspantest.NewCollector(t)
			tr := start(t, forkspan.WithEndpoint(c.TracesEndpoint()), forkspan.WithProtocol(protocol),
				forkspan.WithResourceAttributes(attribute.String("path", "r\xff")))
			spans(t.Context(), 1)
			ctx, bad := forkspan.Start(t.Context(), "n\xff", attribute.String("k\xff", "v\xff"),
				attribute.StringSlice("list", []string{"ok", "\xff"}))
			bad.AddEvent("e\xff", trace.WithAttributes(attribute.String("k", "\xff")))
			bad.AddLink(trace.Link{SpanContext: bad.SpanContext(), Attributes: []attribute.KeyValue{attribute.String("k", "\xff")}})
			err := errors.New("m\xff")
			forkspan.End(bad, &err)
			if err := tr.Flush(ctx); err != nil {
				t.Errorf("Flush: %v", err)
			}
			got, ok := c.Find("n\ufffd")
			if len(c.Spans()) != 2 || !ok || got.GetStatus().GetMessage() != "*errors.errorString: m\ufffd" {
				t.Errorf("%d spans arrived: %s", len(c.Spans()), c.Tree())
			}
		})
	}
}

func TestHeadersThatCannotBeSent(t *testing.T) {
	c := forkspantest.NewCollector(t)
	tr, err := forkspan.Init(t.Context(), "test.module", forkspan.WithEndpoint(c.Endpoint()),
		forkspan.WithHeaders(map[string]string{"good": "a", "bad": "line\nbreak", "data-bin": "\x00\xff"}))
	var bad *forkspan.ConfigError
	if !errors.As(err, &bad) || bad.Var != "WithHeaders" || bad.Value != "bad=[redacted]" {
		t.Errorf("error %v", err)
	}
	spans(t.Context(), 1)
	if err := tr.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if r := c.Requests(); len(r) != 1 || r[0].Header.Get("Good") != "a" || r[0].Header.Get("Data-Bin") == "" {
		t.Errorf("requests %+v", r)
	}
}

func TestNewExporter(t *testing.T) {
	c := forkspantest.NewCollector(t)
	e, err := forkspan.NewExporter(t.Context(), c.Addr())
	if err != nil {
		t.Fatal(err)
	}
	tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(e))
	_, span := tp.Tracer("t").Start(t.Context(), "alone")
	span.End()
	if err := tp.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if _, ok := c.Find("alone"); !ok {
		t.Error("the span did not arrive")
	}
	var bad *forkspan.ConfigError
	if e, err := forkspan.NewExporter(t.Context(), "h:1", forkspan.WithProtocol("http")); e != nil || !errors.As(err, &bad) {
		t.Errorf("exporter %v, error %v", e, err)
	}
}

type blockedExporter struct{ entered, release chan struct{} }

func (e *blockedExporter) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error {
	e.entered <- struct{}{}
	<-e.release
	return nil
}
func (e *blockedExporter) Shutdown(context.Context) error { return nil }

type panicExporter struct{}

func (panicExporter) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { panic("oh no") }
func (panicExporter) Shutdown(context.Context) error                             { return nil }

type errorList struct {
	mu   sync.Mutex
	errs []error
}

func (l *errorList) add(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
}

func (l *errorList) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var text strings.Builder
	for _, err := range l.errs {
		fmt.Fprintln(&text, err)
	}
	return text.String()
}
