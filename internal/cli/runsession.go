package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.opentelemetry.io/otel/trace"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/proxy"
	"forkspan.dev/forkspan/internal/ready"
	"forkspan.dev/forkspan/internal/redact"
	"forkspan.dev/forkspan/internal/servers"
	"forkspan.dev/forkspan/internal/spanfile"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/internal/supervise"
)

// recorder takes the spans of a run: those of its processes, and our own.
type recorder interface {
	proxy.Sink
	// hostPort is where the command's processes send their spans; empty when they cannot.
	hostPort() string
	// prepare is called before the command is started.
	prepare()
	// journalDir is the folder where the command's processes can keep journals; empty when there is none.
	journalDir() string
	// abandon is called instead of begin and end when the command could not be started.
	abandon()
	// begin stores that the command has been started. It may take its time.
	begin(spans []commandspan.Span)
	// ready is told when the command is ready, with the start-up span.
	ready(at time.Time, span commandspan.Span)
	// progress prints what there is at ready.
	progress()
	// end stores the spans that end with the command, and prints the account. begin has returned.
	end(o supervise.Outcome, spans []commandspan.Span)
}

// session is one `forkspan run`.
type session struct {
	*app
	flags  runFlags
	argv   []string // as it will be started
	base   []string // our environment, without what an outer run put in
	lookup func(string) (string, bool)
	name   string // of the run and its span
	runID  string

	parent  trace.SpanContext // of the command's span; invalid for none
	link    trace.SpanContext // what the command's span is linked to
	traceID otlp.TraceID
	command otlp.SpanID
	startup otlp.SpanID // zero without a ready condition
	sampled bool        // by the parent; true without one

	instrumented bool // with the Python module, of which nothing has been said yet

	condition ready.Condition
	stale     bool // the condition held before the command was started
	rec       recorder
	proxies   []*proxy.Server
	process   *supervise.Process
	reaped    func(pid int, status syscall.WaitStatus, usage *syscall.Rusage) // see supervise.Command; may be nil
	readyAt   time.Time
}

func newSession(a *app, f runFlags, argv []string) *session {
	s := &session{app: a, flags: f, argv: argv, runID: store.NewRunID()}
	if s.name = strings.ToValidUTF8(f.name, "\uFFFD"); s.name == "" {
		s.name = commandspan.BaseName(argv[0])
	}
	s.setEnvironment(os.Environ())
	return s
}

// setEnvironment replaces the environment that the command's is made from.
func (s *session) setEnvironment(base []string) {
	s.base, s.lookup = base, environ.Lookup(base)
}

// note prints a line of our own.
func (s *session) note(format string, args ...any) {
	if !s.flags.quiet {
		s.app.note(fmt.Sprintf(format, args...))
	}
}

// prepare does all that comes before the command: what it will see, and what will record it.
func (s *session) prepare(condition ready.Condition) error {
	s.chooseParent()
	s.condition = condition
	if outer, ok := s.findOuter(); ok {
		s.runID = outer.RunID
		s.rec = newOuterRun(s, outer)
	} else {
		if err := spanfile.CheckPlace(s.flags.output); err != nil {
			return &exitError{status: statusUsage, err: fmt.Errorf("run: %w", err)}
		}
		s.rec = newLocalRun(s)
	}
	s.extendArguments()
	if s.condition == (ready.Condition{}) {
		if s.flags.untilReady {
			return withHint(&exitError{status: statusUsage, err: errors.New("run: --until-ready needs to know what ready means")},
				"--ready URL, --ready tcp:HOST:PORT or --ready span:NAME")
		}
	} else {
		s.startup = newSpanID()
		s.checkStale()
	}
	s.argv = environ.Placeholders{
		HostPort: s.address(), Traceparent: s.traceparent(), TraceID: hex.EncodeToString(s.traceID[:]), RunID: s.runID,
	}.Replace(s.argv)
	return nil
}

// chooseParent finds the trace to continue, by the rules of the library.
func (s *session) chooseParent() {
	s.sampled = true
	found := trace.SpanContextFromContext(forkspan.ParentContext(context.Background()))
	switch {
	case !found.IsValid() || s.flags.ignoreParent:
	case s.flags.linkParent:
		s.link = found
	default:
		s.parent, s.sampled = found, found.IsSampled()
		s.traceID = otlp.TraceID(found.TraceID())
	}
	if s.traceID == (otlp.TraceID{}) {
		_, _ = rand.Read(s.traceID[:]) // never fails
	}
	s.command = newSpanID()
}

func newSpanID() (id otlp.SpanID) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// outerPatience is how long the port of an outer run may take to answer. It is on this machine.
const outerPatience = 300 * time.Millisecond

// findOuter returns the run we are in. What it put into our environment is taken out when we are not to join it.
func (s *session) findOuter() (environ.Outer, bool) {
	id, _ := s.lookup(environ.RunVariable)
	if id == "" {
		return environ.Outer{}, false
	}
	if !s.flags.newRun {
		if outer, ok := environ.FindOuter(s.lookup); ok {
			conn, err := net.DialTimeout("tcp", outer.HostPort, outerPatience)
			if err == nil {
				_ = conn.Close()
				return outer, true
			}
		}
		s.note("the run %s we are in no longer listens: this is a run of its own", shortID(id))
	}
	s.setEnvironment(environ.WithoutOuter(s.base))
	return environ.Outer{}, false
}

// extendArguments adds what a server we know lacks, and learns where it tells that it is ready.
func (s *session) extendArguments() {
	server, ok := servers.Detect(s.argv, s.address())
	if !ok {
		return
	}
	if s.condition == (ready.Condition{}) && server.Health != "" {
		s.condition = ready.Condition{URL: server.Health}
	}
	if s.flags.noArgs || s.rec.hostPort() == "" {
		return
	}
	if len(server.Missing) > 0 {
		s.argv = append(s.argv[:len(s.argv):len(s.argv)], server.Missing...)
		s.note("added to the command: %s (--no-args leaves it alone)", strings.Join(server.Missing, " "))
	}
	if server.Elsewhere != "" && !strings.Contains(server.Elsewhere, "{forkspan.") {
		s.note("the command itself sends its spans to %s, not to this run", redact.String(server.Elsewhere))
	}
}

// address is the port for placeholders. Without one it is that of the discard protocol: nothing answers there.
func (s *session) address() string {
	if hostPort := s.rec.hostPort(); hostPort != "" {
		return hostPort
	}
	return "127.0.0.1:9"
}

// childParent is the span whose context the command's environment carries.
func (s *session) childParent() otlp.SpanID {
	if s.startup != (otlp.SpanID{}) {
		return s.startup
	}
	return s.command
}

// traceparent is for the command's processes. The sampled flag is always set: who starts forkspan wants the trace. A new
// trace has no random flag, since SDKs before W3C Trace Context level 2 refuse it.
func (s *session) traceparent() string {
	flags := s.parent.TraceFlags() | trace.FlagsSampled
	id := s.childParent()
	return fmt.Sprintf("00-%x-%x-%02x", s.traceID[:], id[:], byte(flags))
}

// environment is the command's.
func (s *session) environment() []string {
	var context environ.TraceContext
	if !s.flags.noPropagate {
		context.Traceparent = s.traceparent()
		context.Tracestate = s.parent.TraceState().String()
		if context.Baggage, _ = s.lookup("baggage"); context.Baggage == "" {
			context.Baggage, _ = s.lookup("BAGGAGE")
		}
	}
	if _, nested := s.rec.(*outerRun); nested {
		return environ.Nested(s.base, context)
	}
	child := environ.Child{HostPort: s.rec.hostPort(), RunID: s.runID, Journal: s.rec.journalDir(), Service: s.name, Context: context}
	return child.Environ(s.base)
}

// spans returns the command's span and, with a ready condition, that of its start-up, both unfinished.
func (s *session) spans() (command, startup commandspan.Span) {
	start := s.process.Started().UnixNano()
	command = commandspan.Span{
		TraceID: s.traceID, SpanID: s.command, ParentID: otlp.SpanID(s.parent.SpanID()), TraceState: s.parent.TraceState().String(),
		Remote: s.parent.IsValid(), Sampled: s.sampled, Name: s.name, Start: start,
		Attributes: commandspan.Started(commandspan.Scrub(s.argv), s.process.PID()),
	}
	if s.link.IsValid() {
		command.Links = []otlp.Link{{TraceID: otlp.TraceID(s.link.TraceID()), SpanID: otlp.SpanID(s.link.SpanID())}}
	}
	startup = commandspan.Span{
		TraceID: s.traceID, SpanID: s.startup, ParentID: s.command, TraceState: command.TraceState, Sampled: s.sampled,
		Name: "startup", Start: start, Attributes: []otlp.Field{{Key: "forkspan.ready.condition", Value: redact.String(s.condition.String())}},
	}
	return command, startup
}

// supervise starts the command, waits for its end, and returns how this process shall end.
func (s *session) supervise() (supervise.Outcome, error) {
	var err error
	s.rec.prepare()
	s.process, err = supervise.Start(supervise.Command{
		Path: s.argv[0], Args: s.argv[1:], Env: s.instrument(s.environment()), NoSubreaper: s.flags.noSubreaper, Reaped: s.reaped,
	})
	if err != nil {
		s.rec.abandon()
		return supervise.Outcome{}, err
	}
	var begun sync.WaitGroup
	begun.Go(func() {
		command, startup := s.spans()
		spans := []commandspan.Span{command}
		if s.startup != (otlp.SpanID{}) {
			spans = append(spans, startup)
		}
		s.rec.begin(spans)
	})
	stopped, timedOut := s.wait(&begun)
	outcome := s.process.Outcome()
	begun.Wait()
	s.stopProxies()
	s.rec.end(outcome, s.finalSpans(outcome))
	switch {
	case stopped:
		return supervise.Outcome{}, nil
	case timedOut:
		return supervise.Outcome{}, &exitError{
			status: statusTimeout, err: fmt.Errorf("run: %s was not ready after %s", s.name, s.flags.readyTimeout),
		}
	}
	return outcome, nil
}

// statusTimeout is that of timeout(1).
const statusTimeout = 124

// finalSpans returns the spans that end with the command.
func (s *session) finalSpans(o supervise.Outcome) []commandspan.Span {
	command, startup := s.spans()
	command.End = o.End.UnixNano()
	command.Attributes = append(command.Attributes, commandspan.Ended(o)...)
	stopped := s.flags.untilReady && !s.readyAt.IsZero()
	if !stopped && (o.Code != 0 || o.Signal != 0) {
		command.Failed, command.Message = true, commandspan.How(o)
	}
	spans := []commandspan.Span{command}
	if s.startup != (otlp.SpanID{}) && s.readyAt.IsZero() {
		startup.End = command.End
		startup.Failed, startup.Message = true, s.name+" "+commandspan.How(o)+" before it was ready"
		spans = append(spans, startup)
	}
	return spans
}
