package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/forward"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/proxy"
	"forkspan.dev/forkspan/internal/recovery"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/internal/timeline"
)

const proxyLong = `proxy stands in front of an LLM server and records every request to it: time to first
token, tokens, speed, how it ended. Clients use its address in place of the server's; any path
passes, byte for byte. URL may be a port of this machine, or host:port.

Inside forkspan run the requests go to that run. Prompts, answers and keys are never recorded.`

const proxyExample = `  forkspan proxy localhost:8000                # listens at 127.0.0.1:4319
  forkspan proxy --listen :8080 https://llm.example.com
  forkspan proxy --usage ask 11434             # count tokens of streams, too`

type proxyFlags struct {
	listen string
	usage  string
	quiet  bool
}

func newProxy(a *app) *cobra.Command {
	var f proxyFlags
	c := &cobra.Command{
		Use:     "proxy URL",
		Short:   "Record the requests to an LLM server",
		Long:    proxyLong,
		Example: proxyExample,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("want the address of one server")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.proxy(f, args[0]) },
	}
	flags := c.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:4319", "`address` to listen at")
	choice(flags, &f.usage, "usage", "pass", []string{"pass", "ask"},
		"`what` to do about token counts of streams: pass what the server sends, or ask for them and take the extra event out again")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print nothing but errors")
	a.addStoreFlags(c)
	return c
}

// proxySession is one `forkspan proxy`.
type proxySession struct {
	*app
	flags  proxyFlags
	sink   proxySink
	server *proxy.Server
}

// proxySink is where a proxy's spans go.
type proxySink interface {
	proxy.Sink
	runID() string
	// close is told the end. What it prints is the last.
	close(proxy.Stats)
	// abandon is told that there was no proxy.
	abandon()
}

func (a *app) proxy(f proxyFlags, address string) error {
	upstream, err := proxy.ParseUpstream(address)
	if err != nil {
		return withHint(&exitError{status: statusUsage, err: fmt.Errorf("proxy: %w", err)},
			"forkspan proxy http://127.0.0.1:8000, or just the port: forkspan proxy 8000")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := &proxySession{app: a, flags: f}
	s.openSink(upstream)
	if err := s.serve(ctx, stop, upstream); err != nil {
		return withHint(fmt.Errorf("proxy: %w", err), "--listen 127.0.0.1:0 takes any free port")
	}
	return nil
}

// serve runs the proxy until ctx ends; from then on forget makes the next signal end the program.
func (s *proxySession) serve(ctx context.Context, forget func(), upstream *url.URL) error {
	var lines io.Writer
	if !s.flags.quiet {
		lines = s.Stderr
	}
	listen := s.flags.listen
	if strings.HasPrefix(listen, ":") {
		s.say("%s is open to the network, and the server behind it with it", listen)
	}
	var err error
	s.server, err = proxy.Listen(listen, proxy.Config{
		Upstream: upstream, Sink: s.sink, RunID: s.sink.runID(), AskUsage: s.flags.usage == "ask", Lines: lines,
	})
	if s.server == nil {
		s.sink.abandon()
		return err
	}
	if err != nil {
		s.say("%v", err)
	}
	s.say("http://%s → %s · run %s", s.server.Addr(), upstream.Redacted(), shortID(s.sink.runID()))
	select {
	case <-ctx.Done():
	case <-s.server.Done():
	}
	forget()
	last, cancel := context.WithTimeout(context.Background(), proxyPatience)
	defer cancel()
	err = s.server.Shutdown(last)
	s.sink.close(s.server.Stats())
	return err
}

// proxyPatience is how long requests under way may take to finish when the proxy is told to end.
const proxyPatience = 10 * time.Second

func (s *proxySession) say(format string, args ...any) {
	if !s.flags.quiet {
		s.app.note(fmt.Sprintf(format, args...))
	}
}

// openSink finds the run we are in, or opens the store. A proxy that cannot record still passes requests on.
func (s *proxySession) openSink(upstream *url.URL) {
	lookup := environ.Lookup(os.Environ())
	if id, _ := lookup(environ.RunVariable); id != "" {
		if outer, ok := environ.FindOuter(lookup); ok {
			backend := &forward.Backend{
				Protocol: "http/protobuf", Address: environ.Endpoint(outer.HostPort), Timeout: outerFarewell,
			}
			f, err := forward.NewSender(backend)
			if err == nil {
				s.sink = &outerProxySink{proxySession: s, id: outer.RunID, forward: f}
				return
			}
			s.say("send to the run %s: %v", shortID(outer.RunID), err)
		}
	}
	sink := &storeProxySink{proxySession: s, traces: map[otlp.TraceID]struct{}{}}
	sink.run = store.Run{
		ID: store.NewRunID(), Kind: "proxy", Name: "proxy " + upstream.Host,
		Command: commandspan.Scrub(append([]string{"forkspan"}, os.Args[1:]...)), Start: time.Now(), PID: os.Getpid(), BootID: recovery.BootID(),
	}
	s.sink = sink
	var err error
	if sink.store, err = s.openStore(context.Background()); err != nil {
		s.say("%v: requests are not recorded", err)
		return
	}
	if err := sink.store.PutRun(context.Background(), sink.run); err != nil {
		s.say("%v", err)
	}
}

// outerProxySink sends spans to the run that the proxy is started in.
type outerProxySink struct {
	*proxySession
	id      string
	forward *forward.Sender
}

func (k *outerProxySink) runID() string { return k.id }

// Append sends a request on.
func (k *outerProxySink) Append(_ context.Context, body []byte, sum otlp.Summary) error {
	k.forward.Send(body, sum.Spans)
	return nil
}

func (k *outerProxySink) close(stats proxy.Stats) {
	ctx, cancel := context.WithTimeout(context.Background(), outerFarewell)
	defer cancel()
	if sent := k.forward.Close(ctx); sent.Reason != "" {
		k.say("the run %s did not take all spans: %s", shortID(k.id), oneLine(sent.Reason))
	}
	k.say("proxied %s", proxyAccount(stats))
}

func (k *outerProxySink) abandon() { k.forward.Close(context.Background()) } // nothing was sent, so nothing is waited for

// storeProxySink stores spans under a run of the proxy's own.
type storeProxySink struct {
	*proxySession
	store *store.Store // nil when it could not be opened

	mu     sync.Mutex
	run    store.Run
	traces map[otlp.TraceID]struct{} // at most maxCountedTraces
	warned bool
}

func (k *storeProxySink) runID() string { return k.run.ID }

var errNoStore = errors.New("no store")

// Append stores a request.
func (k *storeProxySink) Append(ctx context.Context, body []byte, sum otlp.Summary) error {
	if k.store == nil {
		return errNoStore
	}
	err := k.store.Append(ctx, k.run.ID, body, sum)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		if !k.warned {
			k.say("%v: some requests are not recorded", err)
		}
		k.warned = true
		return err
	}
	k.run.Account.Spans += int64(sum.Spans)
	k.run.Account.Processes = 1
	for _, t := range sum.Traces {
		if _, known := k.traces[t.TraceID]; known {
			continue
		}
		k.run.Account.Traces++
		if len(k.traces) == maxCountedTraces {
			clear(k.traces) // a trace that comes back much later is counted twice
		}
		k.traces[t.TraceID] = struct{}{}
	}
	return nil
}

// maxCountedTraces bounds what a proxy that runs for weeks remembers.
const maxCountedTraces = 1 << 14

func (k *storeProxySink) close(stats proxy.Stats) {
	if k.store == nil {
		k.say("proxied %s", proxyAccount(stats))
		return
	}
	k.run.End = time.Now()
	k.run.Exit = &store.Exit{}
	if stats.Dropped > 0 {
		k.run.Account.Dropped = map[string]int64{"not stored": stats.Dropped}
	}
	err := k.store.PutRun(context.Background(), k.run)
	if err = errors.Join(err, k.store.Close()); err != nil {
		k.say("%v", err)
	}
	k.say("proxied %s", proxyAccount(stats))
	if stats.Requests > 0 {
		k.say("show them again: forkspan ls --requests %s", shortID(k.run.ID))
	}
}

// abandon takes the run back.
func (k *storeProxySink) abandon() {
	if k.store == nil {
		return
	}
	if err := errors.Join(k.store.Remove(context.Background(), k.run.ID), k.store.Close()); err != nil {
		k.say("%v", err)
	}
}

func proxyAccount(s proxy.Stats) string {
	requests := counted(int(s.Requests), "request", "requests")
	if s.Failed > 0 {
		requests += ", " + timeline.FormatCount(s.Failed) + " without a complete answer"
	}
	return requests + " · " + counted(int(s.Stored), "span", "spans") + ", " + timeline.FormatCount(s.Dropped) + " dropped"
}
