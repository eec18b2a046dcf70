package cli

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/forward"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/internal/timeline"
)

// forwardFlags are what `run` can be told about passing spans on.
type forwardFlags struct {
	to         string // a URL; empty for the environment's
	verbatim   bool
	unfinished bool
	processes  bool
}

func addForwardFlags(flags *pflag.FlagSet, f *forwardFlags) {
	flags.StringVar(&f.to, "forward", "", "pass spans on to the backend at `URL` (default: OTEL_EXPORTER_OTLP_ENDPOINT's)")
	flags.BoolVar(&f.verbatim, "verbatim", false, "pass spans on as they came: no new ids for ranks that share theirs, no traces for requests")
	flags.BoolVar(&f.unfinished, "forward-unfinished", false, "at the end pass unfinished spans on too, ended as interrupted")
	flags.BoolVar(&f.processes, "forward-processes", false, "at the end pass on a span for each process, too")
}

// onward is the way of a run's spans to the user's backend. The zero value is none.
type onward struct {
	backend  *forward.Backend
	settings forward.Settings
	reserved *forward.Reservation // until the first sender has it

	mu      sync.Mutex
	senders []*forward.Forwarder // one a store
	lasting []bool               // whether that store outlives us

	stop     context.CancelFunc // of what others have left; nil when that is left alone
	carrying sync.WaitGroup
}

// carryInterval is the time between two looks at what other runs have left.
const carryInterval = time.Minute

// carryOn sends, while the command runs, what earlier runs have left for backends that we have all it takes for.
func (o *onward) carryOn(st *store.Store) {
	if st == nil || st.Path() == store.Memory {
		return
	}
	var ctx context.Context
	ctx, o.stop = context.WithCancel(context.Background())
	o.carrying.Go(func() {
		tick := time.NewTicker(carryInterval)
		defer tick.Stop()
		for {
			forward.Background(ctx, st, o.backend, nil)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

func (o *onward) stopCarrying() {
	if o.stop != nil {
		o.stop()
		o.carrying.Wait()
	}
}

// drainShare is what of --drain our own work takes beside the waiting, from the first store to the last.
const drainShare = 12 * time.Millisecond

// connectBackend finds out where spans are to be passed on to.
func (r *localRun) connectBackend() {
	silenced := environ.Silenced(r.lookup)
	if silenced != "" {
		r.note("%s is set: processes that heed it send no spans", silenced)
	}
	if silenced != "" && r.flags.forward.to == "" {
		return
	}
	backend, err := forward.Find(r.flags.forward.to, r.lookup)
	switch {
	case err != nil:
		r.note("spans are not passed on: %v", err)
	case backend != nil && !r.sampled:
		r.note("the trace that is continued is not sampled: it is recorded here, and not passed on to %s", backend.Name())
	case backend != nil:
		r.onward.backend = backend
		r.onward.settings = forward.Settings{
			Verbatim: r.flags.forward.verbatim, Unfinished: r.flags.forward.unfinished, Processes: r.flags.forward.processes,
			Ratio: samplingRatio(r.lookup),
		}
	}
}

// samplingRatio is the share of traces that the user's sampler takes; nil where it takes all, or decides otherwise.
func samplingRatio(lookup func(string) (string, bool)) *float64 {
	name, _ := lookup("OTEL_TRACES_SAMPLER")
	ratio := 1.0
	switch strings.TrimPrefix(strings.TrimSpace(name), "parentbased_") {
	case "traceidratio":
		arg, _ := lookup("OTEL_TRACES_SAMPLER_ARG")
		parsed, err := strconv.ParseFloat(strings.TrimSpace(arg), 64)
		if err != nil || !(parsed >= 0 && parsed < 1) {
			return nil
		}
		ratio = parsed
	case "always_off":
		ratio = 0
	default:
		return nil
	}
	return &ratio
}

// reserveForward writes down where the run's spans go before the first of them is stored, should we be killed right after.
func (r *localRun) reserveForward(st *store.Store) {
	if r.onward.backend == nil || st.Path() == store.Memory {
		return
	}
	settings := r.onward.settings
	settings.Trace, settings.Ambient = r.traceID, []otlp.SpanID{r.command}
	// That it fails forwardFrom will say.
	r.onward.reserved, _ = forward.Reserve(context.Background(), st, r.onward.backend, r.runID, settings)
}

// releaseForward takes that back for a command that was not started.
func (r *localRun) releaseForward() {
	if r.onward.backend == nil {
		return
	}
	<-r.opened
	if r.onward.reserved != nil {
		_ = r.onward.reserved.Release(context.Background()) // at worst a run too many is counted
	}
}

// forwardFrom begins to pass on what a store has of the run and gets.
func (r *localRun) forwardFrom(st *store.Store) {
	if r.onward.backend == nil || st == nil {
		return
	}
	settings := r.onward.settings
	settings.Trace = r.traceID
	settings.Ambient = []otlp.SpanID{r.command}
	if r.startup != (otlp.SpanID{}) {
		settings.Ambient = append(settings.Ambient, r.startup)
	}
	f, err := forward.Open(context.Background(), st, r.onward.backend, forward.Options{
		Settings: settings, Run: r.runID, Reserved: r.onward.reserved, Notify: func(message string) { r.note("%s", message) },
	})
	r.onward.reserved = nil
	if err != nil {
		r.note("spans are not passed on: %v", err)
		return
	}
	r.onward.mu.Lock()
	defer r.onward.mu.Unlock()
	r.onward.senders = append(r.onward.senders, f)
	r.onward.lasting = append(r.onward.lasting, st.Path() != store.Memory)
}

// wake tells that requests have been stored.
func (o *onward) wake() {
	if o.backend == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.senders {
		f.Wake()
	}
}

// close sends what can be sent until ctx ends. Spans that wait in a store that ends with us have failed.
func (o *onward) close(ctx context.Context) (all forward.Stats) {
	for i, f := range o.senders {
		f.Finish(i == len(o.senders)-1)
		f.Drain(ctx)
		stats := f.Close()
		if !o.lasting[i] {
			stats.Dead, stats.Waiting, stats.Unended = stats.Dead+stats.Waiting, 0, false
		}
		all.Add(stats)
	}
	return all
}

// toConnect matches an error to connect; what is caught is its cause.
var toConnect = regexp.MustCompile(`\bdial (?:tcp|unix)\b.*: ([^"]+)"?$`)

// because is why a backend took nothing, in one line. Of an error to connect the cause is told alone: whom to stands beside it.
func because(reason string) string {
	if m := toConnect.FindStringSubmatch(reason); m != nil {
		reason = m[1]
	}
	return oneLine(reason)
}

// account says what became of the spans, in parts of the account's line.
func (o *onward) account(sent forward.Stats) (parts []string) {
	if o.backend == nil {
		return nil
	}
	name, reason := o.backend.Name(), ""
	if sent.Reason != "" {
		reason = " (" + because(sent.Reason) + ")"
	}
	if sent.Sent > 0 {
		parts = append(parts, timeline.FormatCount(sent.Sent)+" passed on to "+name)
	}
	if sent.Local > 0 {
		parts = append(parts, timeline.FormatCount(sent.Local)+" local only")
	}
	if missed := sent.Dead + sent.Rejected; missed > 0 {
		parts = append(parts, timeline.FormatCount(missed)+" refused by "+name+reason)
		reason = ""
	}
	if sent.Removed > 0 {
		parts = append(parts, counted(int(sent.Removed), "request", "requests")+" removed before "+name+" took them"+reason)
		reason = ""
	}
	if sent.Waiting > 0 {
		verb, them := "wait", "them"
		if sent.Waiting == 1 {
			verb, them = "waits", "it"
		}
		parts = append(parts, counted(int(sent.Waiting), "span", "spans")+" "+verb+" for "+name+reason+": forkspan forward sends "+them)
	} else if sent.Unended {
		parts = append(parts, "what "+name+" gets at the end waits: forkspan forward sends it")
	}
	return parts
}
