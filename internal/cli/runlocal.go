package cli

import (
	"bytes"
	"context"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/forward"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/receive"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/internal/supervise"
)

// localRun records a run of its own: a port that receives, a store, and the way on to the user's backend.
//
// The command does not wait for the store: whoever has something to store does.
type localRun struct {
	*session
	address  string // of the port; empty without one
	server   *receive.Server
	served   chan struct{} // closed when the server has ended; nil without a port
	backend  string        // name of the user's; empty without one
	forward  *forward.Forwarder
	resource []otlp.Field
	record   store.Run

	opened chan struct{}  // closed when stores is set
	stores []*store.Store // what is open: the last one is written; more than one when the first has failed. Guarded by mu after opened

	awaitedSpan string         // name of the span that makes the command ready; empty for none
	awaited     chan time.Time // gets when it arrived

	mu     sync.Mutex
	counts runCounts
	drawn  bool // the waterfall has been printed
}

func newLocalRun(s *session) *localRun {
	r := &localRun{
		session: s, opened: make(chan struct{}), counts: newRunCounts(),
		awaitedSpan: s.condition.Span, awaited: make(chan time.Time, 1),
	}
	go r.open()
	r.connectBackend()
	r.listen() // last: from now on Append is called
	return r
}

func (r *localRun) hostPort() string { return r.address }

// listenLoopback listens at the first of the addresses that there is. The error is that of the first.
func listenLoopback(addresses ...string) (net.Listener, error) {
	var first error
	for _, address := range addresses {
		l, err := net.Listen("tcp", address)
		if err == nil {
			return l, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// listen takes the port. A machine without IPv4 has a loopback address too.
func (r *localRun) listen() {
	l, err := listenLoopback("127.0.0.1:0", "[::1]:0")
	if err != nil {
		r.note("no port for the spans of the command: %v", err)
		return
	}
	r.address = l.Addr().String()
	r.server = receive.New(r)
	r.served = make(chan struct{})
	go func() {
		defer close(r.served)
		if err := r.server.Serve(l); err != nil {
			r.note("receive spans: %v", err)
		}
	}()
}

// open opens the store: where it belongs, else below the temporary folder, else in memory.
func (r *localRun) open() {
	defer close(r.opened)
	path, remark := r.storePath()
	if remark != "" {
		r.note("%s", remark)
	}
	opts := store.Options{Notify: func(message string) { r.note("%s", message) }}
	st, err := store.Open(context.Background(), path, opts)
	if noPlace(err) && !r.storeChosen() {
		spare := store.SparePath()
		if st2, err2 := store.Open(context.Background(), spare, opts); err2 == nil {
			r.note("%v: the trace goes to %s", err, spare)
			st, err = st2, nil
		}
	}
	if err != nil {
		r.note("%v: the trace is kept in memory, for this run only", err)
		if st, err = store.Open(context.Background(), store.Memory, opts); err != nil {
			r.note("%v: the trace is lost", err)
			return
		}
	}
	r.stores = append(r.stores, st)
}

// connectBackend begins to pass spans on, if the user has named a backend.
func (r *localRun) connectBackend() {
	if setting := environ.Silenced(r.lookup); setting != "" {
		r.note("%s is set: processes that heed it send no spans", setting)
		return
	}
	backend, err := forward.FromEnviron(r.lookup)
	switch {
	case err == nil && backend == nil:
		return
	case err == nil && !r.sampled:
		r.note("the trace that is continued is not sampled: it is recorded here, and not passed on to %s", backend.Name())
		return
	case err == nil:
		r.backend = backend.Name()
		r.forward, err = forward.New(backend)
	}
	if err != nil {
		r.note("spans are not passed on: %v", err)
	}
}

// Append stores a request of the command's processes. The sender is answered when it is committed.
func (r *localRun) Append(ctx context.Context, body []byte, sum otlp.Summary) error {
	select {
	case <-r.opened:
	case <-ctx.Done():
		return ctx.Err()
	}
	if commandspan.Made(body, sum) {
		sum.Processes = nil // by a forkspan further down, about its command
	}
	if err := r.put(ctx, body, sum); err != nil {
		return err
	}
	r.counts.add(sum)
	if r.forward != nil && hasFinished(sum) {
		r.forward.SendSampled(body, sum.Spans)
	}
	if r.awaitedSpan != "" && hasEnded(body, r.awaitedSpan) {
		select {
		case r.awaited <- time.Now():
		default:
		}
	}
	return nil
}

// hasFinished tells whether any span of a request has ended. The beginnings that a forkspan further down sends are not for
// other backends, which would take them for whole spans.
func hasFinished(sum otlp.Summary) bool {
	return slices.ContainsFunc(sum.Traces, func(t otlp.TraceSummary) bool { return t.End != 0 })
}

// put commits a request. A store that fails while the run goes on (a full disk) is followed by one in memory.
func (r *localRun) put(ctx context.Context, body []byte, sum otlp.Summary) error {
	st := r.writable()
	if st == nil {
		r.counts.drop("no store", sum.Spans)
		return nil
	}
	err := st.Append(ctx, r.runID, body, sum)
	if err == nil || ctx.Err() != nil {
		return err
	}
	r.mu.Lock()
	if r.stores[len(r.stores)-1] == st && st.Path() != store.Memory {
		r.note("%v: what comes now is kept in memory, for this run only", err)
		if spare, err2 := store.Open(ctx, store.Memory, store.Options{}); err2 == nil {
			r.stores = append(r.stores, spare)
		}
	}
	next := r.stores[len(r.stores)-1]
	r.mu.Unlock()
	if next != st {
		err = next.Append(ctx, r.runID, body, sum)
	}
	if err != nil {
		r.counts.drop("store failed", sum.Spans)
	}
	return err
}

func (r *localRun) writable() *store.Store {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.stores) == 0 {
		return nil
	}
	return r.stores[len(r.stores)-1]
}

// hasEnded tells whether a finished span of that name is in a request.
func hasEnded(body []byte, name string) bool {
	if !bytes.Contains(body, []byte(name)) {
		return false
	}
	spans, err := otlp.Decode(body)
	if err != nil {
		return false
	}
	for i := range spans {
		if spans[i].Name == name && spans[i].End != 0 {
			return true
		}
	}
	return false
}

// shortLife is how long the store waits for a command that ends at once, which then costs one transaction less.
const shortLife = 3 * time.Millisecond

func (r *localRun) begin(spans []commandspan.Span) {
	<-r.opened
	r.resource = commandspan.Resource(r.lookup, r.name, r.runID)
	r.record = store.Run{
		ID: r.runID, Kind: "run", Name: r.name, Command: commandspan.Scrub(r.argv), TraceID: r.traceID, SpanID: r.command,
		ParentID: r.childParent(), Start: r.process.Started(), PID: os.Getpid(), BootID: bootID(),
	}
	select {
	case <-r.process.Done(): // it is stored in one go by end
	case <-time.After(shortLife):
		r.save()
		r.keep(commandspan.Encode(r.resource, version(), spans...), 0)
	}
}

// bootID tells this boot of the machine from others; empty where the system does not say.
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}

// save writes the run's row. Failing to is said once, by put.
func (r *localRun) save() {
	if st := r.writable(); st != nil {
		_ = st.PutRun(context.Background(), r.record)
	}
}

// saveToFailed writes the run's row to the stores that failed while it went on. Often there is room for a row where there was
// none for spans; without it the run would look cut off.
func (r *localRun) saveToFailed() {
	for _, st := range r.stores[:max(0, len(r.stores)-1)] {
		_ = st.PutRun(context.Background(), r.record) // that it has failed was said
	}
}

// keep stores spans of our own. Each is counted once: unfinished ones when they end.
func (r *localRun) keep(body []byte, counted int) {
	_, sum, _, _, err := otlp.Scan(body)
	if err != nil {
		r.note("store the command's span: %v", err)
		return
	}
	sum.Processes = nil // the spans are about processes, they do not come from one
	if err := r.put(context.Background(), body, sum); err == nil && counted > 0 {
		r.counts.addOwn(sum)
	}
	if counted > 0 && r.forward != nil {
		r.forward.Send(body, counted)
	}
}

func (r *localRun) ready(at time.Time, startup commandspan.Span) {
	r.record.Ready = at
	r.save()
	r.keep(commandspan.Encode(r.resource, version(), startup), 1)
}

func (r *localRun) end(o supervise.Outcome, spans []commandspan.Span) {
	left := r.linger()
	r.closePort()
	r.record.End = o.End
	r.record.Exit = &store.Exit{Code: o.Code, Signal: int(o.Signal)}
	r.keep(commandspan.Encode(r.resource, version(), spans...), len(spans))
	r.settleAccount()
	r.save()
	if r.forward != nil {
		ctx, cancel := context.WithTimeout(context.Background(), r.flags.drainTime(r.Env))
		stop := context.AfterFunc(interrupted(r.process), cancel)
		r.counts.forwarded(r.forward.Close(ctx))
		stop()
		cancel()
		r.settleAccount()
		r.save()
	}
	how := commandspan.How(o) + " after " + elapsed(o.End.Sub(r.process.Started()))
	switch {
	case r.flags.untilReady && !r.readyAt.IsZero():
		how = "was ready after " + elapsed(r.readyAt.Sub(r.process.Started())) + ", then " + how
	case r.startup != (otlp.SpanID{}) && r.readyAt.IsZero():
		how += ", before it was ready"
	}
	if r.flags.sample && o.Signal != 0 {
		r.drawn, left = true, nil // who ends the demo early has seen enough of it; its processes are about to end
	}
	r.report(how, left)
	if r.flags.output != "" {
		if err := r.writeFile(r.flags.output); err != nil {
			if st := r.writable(); st != nil && st.Path() != store.Memory {
				err = withHint(err, "the run is still in the store: forkspan show %s", r.shortest())
			}
			_ = r.app.report(err)
		}
	}
	r.saveToFailed()
	for _, st := range r.stores {
		if err := st.Leave(); err != nil {
			r.note("%v", err)
		}
	}
}

// interrupted is a context that ends when the user asks us to hurry after the command's end.
func interrupted(p *supervise.Process) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-p.Interrupted()
		cancel()
	}()
	return ctx
}

// lingerStep is how often lingering looks at the connections.
const lingerStep = 5 * time.Millisecond

// linger waits for processes that outlive the command while any of them may still send. It returns those that live on.
func (r *localRun) linger() []supervise.Descendant {
	ctx, cancel := context.WithTimeout(context.Background(), r.flags.linger)
	defer cancel()
	if r.server != nil {
		tick := time.NewTicker(lingerStep)
		defer tick.Stop()
	wait:
		for r.server.Stats().Connections > 0 {
			select {
			case <-tick.C:
			case <-ctx.Done():
				break wait
			case <-r.process.Interrupted():
				break wait
			}
		}
	}
	cancel()
	return r.process.Descendants(ctx)
}

// closePatience is how long requests under way have to finish at the end.
const closePatience = time.Second

func (r *localRun) closePort() {
	if r.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	_ = r.server.Shutdown(ctx) // what was cut off is its sender's to count
	<-r.served
	stats := r.server.Stats()
	r.counts.drop("malformed", int(stats.Rejected))
}
