package cli

import (
	"context"
	"sync"
	"time"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/lineage"
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
	onward   onward        // to the user's backend
	tree     *lineage.Tree
	journals *runJournals // nil without

	recovery     sync.WaitGroup // of other runs
	stopRecovery context.CancelFunc
	resource     []otlp.Field
	record       store.Run

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
	r.connectBackend()
	go r.open()
	r.tree = lineage.NewTree(!s.flags.noSubreaper, commandspan.Scrub)
	s.reaped = r.tree.Reaped
	r.listen() // last: from now on Append is called
	return r
}

func (r *localRun) prepare() {
	r.openJournals()
	r.tree.Await()
}

// shortLife is how long the store waits for a command that ends at once, which then costs one transaction less.
const shortLife = 3 * time.Millisecond

func (r *localRun) begin(spans []commandspan.Span) {
	r.tree.Follow(r.process.PID())
	<-r.opened
	r.resource = commandspan.Resource(r.lookup, r.name, r.runID)
	r.forwardFrom(r.writable())
	r.record = r.newRecord(r.process.Started(), r.journalDir())
	select {
	case <-r.process.Done(): // it is stored in one go by end
	case <-time.After(shortLife):
		r.save()
		r.keep(commandspan.Encode(r.resource, version(), spans...), 0)
		r.tree.Keep(r.putProcesses)
		r.follow()
		r.recoverOthers()
		r.onward.carryOn(r.writable())
	}
}

func (r *localRun) ready(at time.Time, startup commandspan.Span) {
	r.record.Ready = at
	r.save()
	r.keep(commandspan.Encode(r.resource, version(), startup), 1)
}

func (r *localRun) end(o supervise.Outcome, spans []commandspan.Span) {
	r.stopFollowing()
	r.stopRecovering()
	r.onward.stopCarrying()
	left := r.linger()
	drain := time.Now().Add(r.flags.drainTime(r.Env) - drainShare)
	r.closeJournals()
	r.closePort()
	ended := make(chan struct{}) // what the watcher still has to do, it does meanwhile
	go func() {
		r.tree.Stop()
		close(ended)
	}()
	r.record.End = o.End
	r.record.Exit = &store.Exit{Code: o.Code, Signal: int(o.Signal)}
	r.keep(commandspan.Encode(r.resource, version(), spans...), len(spans))
	<-ended
	r.tree.Settle(r.sawAll())
	r.settleAccount()
	r.saveTree()
	if r.onward.backend != nil {
		ctx, cancel := context.WithDeadline(context.Background(), drain)
		stop := context.AfterFunc(interrupted(r.process), cancel)
		r.counts.forwarded(r.onward.close(ctx))
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
