package forkspan_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/forkspantest"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// stuckProcessor does not return from Shutdown until it is released.
type stuckProcessor struct{ release chan struct{} }

func (stuckProcessor) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (stuckProcessor) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (stuckProcessor) ForceFlush(context.Context) error                { panic("no flush here") }
func (p stuckProcessor) Shutdown(context.Context) error {
	<-p.release
	return nil
}

func TestAStuckProcessorHoldsUpNobody(t *testing.T) {
	c := forkspantest.NewCollector(t)
	stuck := stuckProcessor{release: make(chan struct{})}
	defer close(stuck.release)
	tr, err := forkspan.Init(t.Context(), "test.module", forkspan.WithEndpoint(c.Endpoint()), forkspan.WithSpanProcessor(stuck))
	if err != nil {
		t.Fatal(err)
	}
	spans(t.Context(), 3)
	if err := tr.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "no flush here") {
		t.Errorf("Flush: %v, want the processor's panic", err)
	}
	spans(t.Context(), 4)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := tr.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	if s := tr.Stats(); s.Exported != 7 || len(c.Spans()) != 7 {
		t.Errorf("collector has %d spans, stats %+v", len(c.Spans()), s)
	}
}

// expiring is a context whose time runs out as soon as it has been asked whether it has.
type expiring struct {
	context.Context
	done  chan struct{}
	asked sync.Once
}

func (c *expiring) Done() <-chan struct{} { return c.done }

func (c *expiring) Err() (err error) {
	first := false
	c.asked.Do(func() { first = true })
	if first {
		return nil
	}
	return context.DeadlineExceeded
}

// The SDK does not shut processors down when the time is over: the export would go on for ever.
func TestShutdownWhenTheTimeRunsOutAtOnce(t *testing.T) {
	p := counting{shutdowns: make(chan struct{}, 2)}
	tr, err := forkspan.Init(t.Context(), "test.module", forkspan.WithEndpoint(forkspantest.BlackHole(t)),
		forkspan.WithSpanProcessor(&p))
	if err != nil {
		t.Fatal(err)
	}
	spans(t.Context(), 3)
	ctx := &expiring{Context: context.Background(), done: make(chan struct{})}
	close(ctx.done)
	if err := tr.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	s := tr.Stats()
	checkAccount(t, s)
	if s.Lost() != 3 || s.Queued != 0 {
		t.Errorf("stats %+v", s)
	}
	<-p.shutdowns // in its own time
	if len(p.shutdowns) != 0 {
		t.Error("the processor was shut down twice")
	}
}

// counting tells each time that it is shut down.
type counting struct {
	sdktrace.SpanProcessor
	shutdowns chan struct{}
}

func (p *counting) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (p *counting) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (p *counting) Shutdown(context.Context) error                  { p.shutdowns <- struct{}{}; return nil }

func TestNoProcessor(t *testing.T) {
	tr, err := forkspan.Init(t.Context(), "test.module", forkspan.WithSpanProcessor(nil))
	if err != nil || tr.Enabled() {
		t.Errorf("enabled %v, error %v", tr.Enabled(), err)
	}
}

func TestConsole(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "console")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"=console")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"Name":"Said aloud"`) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "fs") // t.TempDir's names are longer than a socket's may be
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 1)
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path })}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		server.Close()
		<-served
	}()
	tr := start(t, forkspan.WithEndpoint("unix://"+filepath.ToSlash(path)), forkspan.WithProtocol("http/protobuf"),
		forkspan.WithoutEnvironment())
	spans(t.Context(), 1)
	if err := tr.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-asked; got != "/v1/traces" {
		t.Errorf("asked for %s", got)
	}
}

func TestTwoExporters(t *testing.T) {
	c := forkspantest.NewCollector(t)
	t.Setenv("OTEL_TRACES_EXPORTER", "console,otlp")
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.Endpoint())
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"=console")
	out, err := cmd.CombinedOutput()
	if _, ok := c.Find("Said aloud"); err != nil || !ok || !strings.Contains(string(out), "Said aloud") {
		t.Errorf("collector has it: %v, %v\n%s", ok, err, out)
	}
}
