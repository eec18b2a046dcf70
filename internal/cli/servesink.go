package cli

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"forkspan.dev/forkspan/internal/forward"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/timeline"
)

// serveSink stores what a server receives.
type serveSink struct {
	server *server
	sent   forward.Stats // at the end

	mu      sync.Mutex
	failed  time.Time          // when the store last took nothing; zero when it took the last request
	told    time.Time          // when that was last said
	unsaved int64              // spans whose requests were refused for it
	runs    map[string]runSeen // at most maxRunsSeen
}

// runSeen is whether spans that name a run are stored with it.
type runSeen struct {
	joins bool
	at    time.Time
}

const (
	maxRunsSeen = 1 << 10
	runSeenAge  = time.Minute
	tellEvery   = time.Minute
)

// Append stores a request. The sender is answered when it is committed.
func (k *serveSink) Append(ctx context.Context, body []byte, sum otlp.Summary) error {
	s := k.server
	err := s.store.Append(ctx, k.runOf(ctx, sum), body, sum)
	if err != nil && ctx.Err() == nil {
		k.fail(err, sum.Spans)
		return err
	}
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.failed = time.Time{}
	k.mu.Unlock()
	if s.forward != nil {
		s.forward.Wake()
	}
	return nil
}

// fail notes that the store took nothing, and says so once a minute.
func (k *serveSink) fail(err error, spans int) {
	now := time.Now()
	k.mu.Lock()
	k.failed = now
	k.unsaved += int64(spans)
	tell := now.Sub(k.told) > tellEvery
	if tell {
		k.told = now
	}
	k.mu.Unlock()
	if tell {
		k.server.note(err.Error() + ": senders are told to come again")
	}
}

// runOf is the run that a request's spans say they are of, if it is in the store and nobody has been told to pass it on; else
// none. A run that is passed on may be passed on to us: its spans would come back, again and again.
func (k *serveSink) runOf(ctx context.Context, sum otlp.Summary) string {
	if k.server.forward != nil || len(sum.Processes) == 0 || sum.Processes[0].RunID == "" {
		return ""
	}
	id := sum.Processes[0].RunID
	for _, p := range sum.Processes[1:] {
		if p.RunID != id {
			return ""
		}
	}
	k.mu.Lock()
	seen, known := k.runs[id]
	k.mu.Unlock()
	if !known || time.Since(seen.at) > runSeenAge {
		seen = runSeen{k.joins(ctx, id), time.Now()}
		k.mu.Lock()
		if k.runs == nil || len(k.runs) >= maxRunsSeen {
			k.runs = make(map[string]runSeen)
		}
		k.runs[id] = seen
		k.mu.Unlock()
	}
	if !seen.joins {
		return ""
	}
	return id
}

func (k *serveSink) joins(ctx context.Context, id string) bool {
	run, err := k.server.store.FindRun(ctx, id)
	if err != nil || run.ID != id {
		return false
	}
	routes, err := k.server.store.Routes(ctx)
	if err != nil {
		return false
	}
	for _, r := range routes {
		if r.Run == id {
			return false
		}
	}
	return true
}

// errNotStoring is why a server is not ready.
var errNotStoring = errors.New("the store did not take the last request")

// ready says why requests cannot be stored at the moment; nil when they can. A failure is forgotten after a while, or nobody
// would send the request that shows that it is over.
func (k *serveSink) ready(ctx context.Context) error {
	k.mu.Lock()
	failed := k.failed
	k.mu.Unlock()
	if !failed.IsZero() && time.Since(failed) < notReadyFor {
		return errNotStoring
	}
	return k.server.store.Writable(ctx)
}

const notReadyFor = 10 * time.Second

// onward says where spans are passed on to, as the end of a line.
func (s *server) onward() string {
	if s.backend == nil {
		return ""
	}
	return " · passed on to " + s.backend.Name()
}

// account says what became of everything, at the end.
func (s *server) account() string {
	stats := s.receiver.Stats()
	parts := []string{
		"served for " + elapsed(time.Since(s.begun)),
		counted(int(stats.Spans), "span", "spans") + " in " + counted(int(stats.Requests-stats.Refused), "request", "requests"),
	}
	add := func(n int64, what string) {
		if n > 0 {
			parts = append(parts, timeline.FormatCount(n)+" "+what)
		}
	}
	add(stats.Rejected, "malformed spans dropped")
	add(stats.Refused, "requests refused")
	add(stats.OtherSignals-stats.PassedOn, "requests with metrics or logs refused")
	add(stats.PassedOn, "requests with metrics or logs passed on")
	add(stats.Unauthorized, "requests without permission refused")
	add(stats.Strangers, "connections of other users refused")
	parts = append(parts, (&onward{backend: s.backend}).account(s.sent)...)
	return strings.Join(parts, " · ")
}
