package forkspan_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/journal"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
)

// leftBehind is what is in a folder.
func leftBehind(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// killedProcess leaves, in dir, the journal of a process that was killed: it has ended the span Load and not the span Serve.
func killedProcess(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], dir)
	cmd.Env = append(os.Environ(), roleVar+"=journal", "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+forkspantest.BlackHole(t))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready\n" {
		t.Errorf("child said %q: %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // killed
}

func TestJournalOfAKilledProcessIsExportedByTheNext(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf", "http/json"} {
		t.Run(protocol, func(t *testing.T) {
			dir := t.TempDir()
			killedProcess(t, dir)
			c := forkspantest.NewCollector(t)
			var reports errorList
			tr, err := forkspan.Init(t.Context(), "test.module", forkspan.WithEndpoint(c.TracesEndpoint()),
				forkspan.WithProtocol(protocol), forkspan.WithJournal(dir), forkspan.WithErrorHandler(reports.add))
			if err != nil {
				t.Fatal(err)
			}
			spans(t.Context(), 1)
			if err := tr.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			s := tr.Stats()
			checkAccount(t, s)
			if len(c.Spans()) != 2 || s.Exported != 1 || s.Recovered != 1 || s.Interrupted != 1 {
				t.Errorf("stats %+v, arrived: %s", s, c.Tree())
			}
			load, _ := c.Find("Load")
			if load.GetAttributes() == nil || load.GetEndTimeUnixNano() < load.GetStartTimeUnixNano() ||
				len(load.GetEvents()) != 1 || len(load.GetLinks()) != 1 || load.GetTraceState() != "k=v" ||
				load.GetStatus().GetMessage() == "" || load.GetParentSpanId() == nil {
				t.Errorf("recovered: %v", load)
			}
			if !strings.Contains(reports.String(), "1 spans had not ended, and are not exported: Serve") {
				t.Errorf("reported: %s", reports.String())
			}
			if left := leftBehind(t, dir); left != nil {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestUnfinishedSpansAreExportedWhenAsked(t *testing.T) {
	dir := t.TempDir()
	killedProcess(t, dir)
	c := forkspantest.NewCollector(t)
	tr := start(t, forkspan.WithEndpoint(c.Endpoint()), forkspan.WithJournal(dir), forkspan.WithUnfinishedSpans())
	if err := tr.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	serve, ok := c.Find("Serve")
	if !ok || serve.GetEndTimeUnixNano() < serve.GetStartTimeUnixNano() ||
		serve.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR {
		t.Errorf("recovered: %v", serve)
	}
	if s := tr.Stats(); s.Recovered != 2 || s.Interrupted != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestJournalIsGoneAfterACleanShutdown(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "init")
	c := forkspantest.NewCollector(t)
	c.Answer(forkspantest.Answer{Rejected: 5, Message: "not these"}) // will not be taken later either
	tr, err := forkspan.Init(t.Context(), "test.module", forkspan.WithEndpoint(c.Endpoint()), forkspan.WithJournal(dir),
		forkspan.WithErrorHandler(func(error) {}))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("folder: %v, %v", info, err)
	}
	spans(t.Context(), 10)
	if left := leftBehind(t, dir); len(left) != 1 {
		t.Errorf("while it runs: %v", left)
	}
	_ = tr.Shutdown(t.Context()) // tells of the rejected spans
	if s := tr.Stats(); s.Exported != 5 || s.Rejected != 5 || s.Unjournaled != 0 {
		t.Errorf("stats %+v", s)
	}
	if left := leftBehind(t, dir); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestSpansThatCouldNotBeExportedAreByTheNextInit(t *testing.T) {
	dir := t.TempDir()
	c := forkspantest.NewCollector(t)
	c.Answer(forkspantest.Answer{Code: codes.InvalidArgument})
	init := func() *forkspan.Tracer {
		tr, err := forkspan.Init(t.Context(), "test.module", forkspan.WithEndpoint(c.Endpoint()), forkspan.WithJournal(dir),
			forkspan.WithErrorHandler(func(error) {}))
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	first := init()
	spans(t.Context(), 3)
	if err := first.Shutdown(t.Context()); err == nil {
		t.Error("Shutdown had nothing to say")
	}
	if s := first.Stats(); s.Failed != 3 {
		t.Errorf("stats %+v", s)
	}
	second := init()
	if err := second.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if s := second.Stats(); s.Recovered != 3 || len(c.Spans()) != 3 {
		t.Errorf("stats %+v, %d spans arrived", s, len(c.Spans()))
	}
	if left := leftBehind(t, dir); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestJournalStaysWhileTheCollectorIsDown(t *testing.T) {
	dir := t.TempDir()
	killedProcess(t, dir)
	before := leftBehind(t, dir)
	c := forkspantest.NewCollector(t)
	c.Answer(forkspantest.Answer{Code: codes.PermissionDenied})
	var reports errorList
	tr, err := forkspan.Init(t.Context(), "test.module", forkspan.WithEndpoint(c.Endpoint()), forkspan.WithJournal(dir),
		forkspan.WithErrorHandler(reports.add))
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if left := leftBehind(t, dir); strings.Join(left, " ") != strings.Join(before, " ") || tr.Stats().Recovered != 0 {
		t.Errorf("left behind: %v, before: %v", left, before)
	}
	if !strings.Contains(reports.String(), "recover journal: export 1 spans") {
		t.Errorf("reported: %s", reports.String())
	}
}

// recovers is what becomes of dir in a process that has a journal there, and does nothing.
func recovers(t *testing.T, dir string, exporter forkspan.Option) forkspan.Stats {
	t.Helper()
	tr, err := forkspan.Init(t.Context(), "test.module", exporter, forkspan.WithJournal(dir), forkspan.WithErrorHandler(func(error) {}))
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	return tr.Stats()
}

// One journal that the collector refuses does not keep the others from being recovered; an unreachable one is asked once.
func TestJournalsAreRecoveredBesideOneThatIsRefused(t *testing.T) {
	for _, test := range []struct {
		answer    forkspantest.Answer
		recovered uint64
	}{
		{forkspantest.Answer{Code: codes.InvalidArgument}, 1},
		{forkspantest.Answer{Code: codes.Unavailable, RetryAfter: time.Hour}, 0}, // longer than an export may take
	} {
		dir := t.TempDir()
		killedProcess(t, dir)
		killedProcess(t, dir)
		c := forkspantest.NewCollector(t)
		c.Answer(test.answer)
		s := recovers(t, dir, forkspan.WithEndpoint(c.Endpoint()))
		if left := leftBehind(t, dir); s.Recovered != test.recovered || len(left) != 2-int(test.recovered) {
			t.Errorf("%v: recovered %d, left %v", test.answer.Code, s.Recovered, left)
		}
	}
}

// deadJournal returns a folder with the journal of a process that has ended n spans.
func deadJournal(t *testing.T, n int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	w, err := journal.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	dead := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(w)).Tracer("s")
	for i := range n {
		_, s := dead.Start(t.Context(), fmt.Sprint(i))
		s.End()
	}
	if err := w.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// unable is an exporter of somebody else, which does not tell why it fails.
type unable struct{ exports atomic.Int32 }

func (u *unable) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error {
	u.exports.Add(1)
	return errors.New("503")
}
func (*unable) Shutdown(context.Context) error { return nil }

// Who does not say that it has refused just these spans is not asked for each request of a journal: it may take its time.
func TestJournalOfAnExporterThatFails(t *testing.T) {
	dir := deadJournal(t, 1200)
	var u unable
	recovers(t, dir, forkspan.WithExporter(&u))
	if n, left := u.exports.Load(), leftBehind(t, dir); n != 1 || len(left) == 0 {
		t.Errorf("%d exports, left: %v", n, left)
	}
}

// A request that the collector refuses for good keeps the others of its journal neither from being recovered nor from being left alone
// by the next.
func TestJournalIsRecoveredButForWhatIsRefused(t *testing.T) {
	const n, refused = 1200, 512
	dir := deadJournal(t, n)
	c := forkspantest.NewCollector(t)
	init := func(answers ...forkspantest.Answer) uint64 {
		c.Answer(answers...)
		return recovers(t, dir, forkspan.WithEndpoint(c.Endpoint())).Recovered
	}
	no := forkspantest.Answer{Code: codes.InvalidArgument}
	if got := init(forkspantest.Answer{}, no); got != n-refused {
		t.Errorf("%d recovered", got)
	}
	if got := init(no); got != 0 {
		t.Errorf("%d recovered with what was refused before", got)
	}
	if got := init(); got != refused || len(c.Spans()) != n {
		t.Errorf("%d recovered, %d spans arrived", got, len(c.Spans()))
	}
	if left := leftBehind(t, dir); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestJournalWithoutAnExporterIsKept(t *testing.T) {
	dir := t.TempDir()
	killedProcess(t, dir)
	tr, rec := record(t, forkspan.WithJournal(dir))
	spans(t.Context(), 1)
	if err := tr.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if left := leftBehind(t, dir); len(left) != 2 || len(rec.Ended()) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestJournalInAnUnusableFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	rec := tracetest.NewInMemoryExporter()
	tr, err := forkspan.Init(t.Context(), "test.module", forkspan.WithExporter(rec), forkspan.WithJournal(file))
	var bad *forkspan.ConfigError
	if !errors.As(err, &bad) || bad.Var != "WithJournal" || bad.Value != file {
		t.Errorf("error %v", err)
	}
	spans(t.Context(), 1)
	if err := tr.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if s := tr.Stats(); s.Exported != 1 {
		t.Errorf("stats %+v", s)
	}
}

// leaveJournal is the child of killedProcess.
func leaveJournal(ctx context.Context) error {
	_, err := forkspan.Init(ctx, "test.killed", forkspan.WithJournal(os.Args[1]))
	if err != nil {
		return err
	}
	ctx, _ = forkspan.Start(ctx, "Serve")
	state, err := trace.ParseTraceState("k=v")
	if err != nil {
		return err
	}
	other := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, Remote: true})
	parent := trace.SpanContextFromContext(ctx).WithTraceState(state)
	ctx = trace.ContextWithSpanContext(ctx, parent)
	_, load := forkspan.StartWith(ctx, "Load", trace.WithLinks(trace.Link{SpanContext: other}))
	load.SetAttributes(
		attribute.String("text", "a"), attribute.Bool("bool", true), attribute.Int("int", -1), attribute.Float64("float", 0.5),
		attribute.StringSlice("texts", []string{"a", "b"}), attribute.IntSlice("ints", []int{1, 2}))
	failed := errors.New("out of memory")
	forkspan.End(load, &failed)
	if _, err := os.Stdout.WriteString("ready\n"); err != nil {
		return err
	}
	select {} // until it is killed
}
