package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"forkspan.dev/forkspan/internal/endpoint"
	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/forward"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/internal/timeline"
)

const forwardLong = `Send what earlier runs have left for your backends, because those were down or too slow when the runs ended.

Which run goes where is in the store; headers and keys are not, so that a backend that takes some is sent to
only where they are set: in the same OTEL_EXPORTER_OTLP_… variables, or with --to. What was to go with one token is not
sent with another, which may be another tenant's: after a token was changed, --adopt says that this one will do.
Everything is sent at least once. It ends when all is sent, or when a backend has taken nothing for the time of --drain; the exit status is then 1.

What a backend has refused for good is kept as a dead letter: --dead lists them, --again sends them once more. Those
that were refused for a wrong token or address go again by themselves.`

const forwardExample = `  forkspan forward
  forkspan forward --list
  OTEL_EXPORTER_OTLP_HEADERS=api-key=… forkspan forward --to https://otlp.example.com
  forkspan forward --again
  forkspan forward --adopt`

// sendFlags are the flags of `forkspan forward`.
type sendFlags struct {
	to    string
	drain time.Duration
	list  bool
	dead  bool
	again bool
	adopt bool
	json  bool
}

func newForward(a *app) *cobra.Command {
	var f sendFlags
	cmd := &cobra.Command{
		Use:     "forward",
		Short:   "Send what waits for your backends",
		Long:    forwardLong,
		Example: forwardExample,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case f.drain < 0:
				return usageError(cmd, errors.New("forward: --drain is negative"))
			case f.to != "" && badEndpoint(f.to) != nil:
				return usageError(cmd, fmt.Errorf("forward: --to: %w", badEndpoint(f.to)))
			case f.list:
				return a.listTargets(cmd.Context(), f)
			case f.dead:
				return a.listDead(cmd.Context(), f)
			}
			return a.forward(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.to, "to", "", "the backend at `URL` is one to send to (default: OTEL_EXPORTER_OTLP_ENDPOINT's)")
	flags.DurationVar(&f.drain, "drain", 10*time.Second, "stop when nothing was taken for this time")
	flags.BoolVar(&f.list, "list", false, "list the backends, and what waits for them")
	flags.BoolVar(&f.dead, "dead", false, "list what was refused for good")
	flags.BoolVar(&f.again, "again", false, "send what was refused for good once more")
	flags.BoolVar(&f.adopt, "adopt", false, "send what was to go with other headers or another certificate with those set now")
	flags.BoolVar(&f.json, "json", false, "print JSON (docs/json.md)")
	cmd.MarkFlagsMutuallyExclusive("list", "dead", "again")
	return cmd
}

// badEndpoint says what is wrong with a URL of a backend.
func badEndpoint(url string) error {
	_, err := endpoint.Parse(url)
	return err
}

// sending is one run's way to one target in `forkspan forward`.
type sending struct {
	store.Route
	stats forward.Stats
	err   error // why nothing was sent
}

func (a *app) forward(ctx context.Context, f sendFlags) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	have, err := forward.Find(f.to, environ.Lookup(os.Environ()))
	if err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	db, err := a.openExisting(ctx)
	if errors.Is(err, errNothingRecorded) {
		return a.reportSendings(f, nil)
	}
	if err != nil {
		return err
	}
	defer db.Close()
	routes, err := a.chooseRoutes(ctx, db, f)
	if err != nil {
		return err
	}
	var done []sending
	paces := map[string]*forward.Pace{}
	gone := map[string]bool{} // targets that took nothing
	for _, r := range routes {
		s := sending{Route: r}
		target := r.Target.Key()
		if ctx.Err() == nil && !gone[target] {
			if paces[target] == nil {
				paces[target] = new(forward.Pace)
			}
			s.stats, s.err = a.sendRoute(ctx, db, r, have, f, paces[target])
			if errors.Is(s.err, store.ErrNotFound) { // its run was removed meanwhile
				continue
			}
			gone[target] = s.err == nil && s.stats.Failing
		}
		if s.err != nil || gone[target] || ctx.Err() != nil {
			if _, s.stats.Waiting, err = db.Unsent(context.Background(), r); err != nil {
				return err
			}
		}
		done = append(done, s)
	}
	if err := a.reportSendings(f, done); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return &exitError{status: 128 + int(syscall.SIGINT)}
	}
	for _, s := range done {
		if s.err != nil && !errors.Is(s.err, forward.ErrBusy) || s.stats.Waiting > 0 || s.stats.Dead > 0 {
			return &exitError{status: statusError}
		}
	}
	return nil
}

// chooseRoutes returns the routes on which something is to be sent.
func (a *app) chooseRoutes(ctx context.Context, db *store.Store, f sendFlags) ([]store.Route, error) {
	routes, err := db.WaitingRoutes(ctx)
	if err != nil || !f.again {
		return routes, err
	}
	letters, err := db.DeadLetters(ctx, 0, 0)
	if err != nil {
		return nil, err
	}
	dead := map[int64]bool{}
	for _, d := range letters {
		dead[d.Route] = true
	}
	for _, r := range routes {
		delete(dead, r.ID)
	}
	all, err := db.Routes(ctx)
	for _, r := range all {
		if dead[r.ID] {
			routes = append(routes, r)
		}
	}
	return routes, err
}

// sendRoute sends what a route has until all is sent, ctx ends, or nothing was taken for the time of --drain.
func (a *app) sendRoute(ctx context.Context, db *store.Store, r store.Route, have *forward.Backend, f sendFlags,
	pace *forward.Pace,
) (stats forward.Stats, err error) {
	opts := forward.Options{Dead: f.again, Adopt: f.adopt, Pace: pace, Notify: func(message string) { a.note(message) }}
	sender, err := forward.Resume(ctx, db, r, have, opts)
	if err != nil {
		return stats, err
	}
	_, _, terminal := terminalSize(a.Stderr)
	for last := int64(-1); ; {
		// In steps, each of which has the whole time if something was taken in the one before.
		step, cancel := context.WithTimeout(ctx, f.drain)
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			stats = sender.Drain(step)
		}()
		a.showSending(terminal, r.Target.Address, sender, drained)
		late := step.Err() != nil
		cancel()
		settled := stats.Sent + stats.Rejected + stats.Dead
		if !late || ctx.Err() != nil || settled == last {
			break
		}
		last = settled
	}
	return sender.Close(), nil
}

// showSending draws a line about the progress until done is closed, where somebody sees it.
func (a *app) showSending(terminal bool, name string, sender *forward.Forwarder, done <-chan struct{}) {
	if !terminal {
		<-done
		return
	}
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for drawn := false; ; drawn = true {
		select {
		case <-tick.C:
			s := sender.Stats()
			line := fmt.Sprintf("%s: %s sent", timeline.Clean(name), counted(int(s.Sent), "span", "spans"))
			if s.Failing {
				line += ", trying again: " + because(s.Reason)
			}
			fmt.Fprint(a.Stderr, "\r\x1b[K"+line)
		case <-done:
			if drawn {
				fmt.Fprint(a.Stderr, "\r\x1b[K")
			}
			return
		}
	}
}
