package journal_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"forkspan.dev/forkspan/journal"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdkresource "go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
)

// roleVar makes the test's own program play a child process, with the arguments behind the role.
const roleVar = "FORKSPAN_TEST_ROLE"

// roles are what children do.
var roles = map[string]func(args []string) error{}

func TestMain(m *testing.M) {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {})) // the SDK reports exports that tests let fail
	if role := os.Getenv(roleVar); role != "" {
		if err := roles[role](os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

var testResource = sdkresource.NewSchemaless(attribute.String("service.name", "journal.test"))

// provider returns a tracer provider whose spans go to w.
func provider(w *journal.Writer, opts ...sdktrace.TracerProviderOption) *sdktrace.TracerProvider {
	return sdktrace.NewTracerProvider(append([]sdktrace.TracerProviderOption{
		sdktrace.WithSpanProcessor(w), sdktrace.WithResource(testResource)}, opts...)...)
}

// create begins a journal for the length of the test.
func create(t testing.TB, dir string, opts ...journal.Option) *journal.Writer {
	t.Helper()
	w, err := journal.Create(dir, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Shutdown(context.Background()) })
	return w
}

// contents are the spans of a folder's journals.
type contents struct {
	journals             []*journal.Journal
	finished, unfinished []*tracepb.Span
	requests             []*tracepb.TracesData // of the finished ones
	damaged              int
}

func readAll(t testing.TB, dir string) contents {
	t.Helper()
	var c contents
	for j, err := range journal.All(dir) {
		if err != nil {
			t.Fatal(err)
		}
		c.add(t, j)
	}
	return c
}

func (c *contents) add(t testing.TB, j *journal.Journal) {
	t.Helper()
	c.journals = append(c.journals, j)
	c.damaged += j.Damaged
	for body := range j.Requests() {
		data := decode(t, body)
		c.requests = append(c.requests, data)
		c.finished = append(c.finished, spansOf(data)...)
	}
	for body := range j.UnfinishedRequests() {
		c.unfinished = append(c.unfinished, spansOf(decode(t, body))...)
	}
}

func decode(t testing.TB, body []byte) *tracepb.TracesData {
	t.Helper()
	var data tracepb.TracesData
	if err := proto.Unmarshal(body, &data); err != nil {
		t.Fatalf("a request cannot be decoded: %v", err)
	}
	return &data
}

func spansOf(data *tracepb.TracesData) (spans []*tracepb.Span) {
	for _, rs := range data.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			spans = append(spans, ss.Spans...)
		}
	}
	return spans
}

// names are the names of spans, sorted.
func names(spans []*tracepb.Span) string {
	var list []string
	for _, s := range spans {
		list = append(list, s.Name)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// record starts and ends spans of the given names.
func record(tracer trace.Tracer, names ...string) {
	for _, name := range names {
		_, span := tracer.Start(context.Background(), name)
		span.End()
	}
}

// files are the names of what is in a folder.
func files(t testing.TB, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}
