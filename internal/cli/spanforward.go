package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/forward"
	"forkspan.dev/forkspan/internal/scriptspan"
)

// passOn sends what the run of a span has to the user's backend, for at most patience; what is left then waits in the store for
// the next forkspan.
func (s *spanStore) passOn(ctx context.Context, span *scriptspan.Span, patience time.Duration) {
	lookup := environ.Lookup(environ.WithoutOuter(os.Environ()))
	if !span.Sampled || environ.Silenced(lookup) != "" {
		return
	}
	backend, err := forward.Find("", lookup)
	if err == nil && backend == nil {
		return
	}
	var sender *forward.Forwarder
	if err == nil {
		settings := forward.Settings{Trace: span.TraceID, Ratio: samplingRatio(lookup)}
		sender, err = forward.Open(ctx, s.Store, backend, forward.Options{Settings: settings, Run: span.Run, Notify: s.note})
	}
	switch {
	case errors.Is(err, forward.ErrBusy):
		return // the other one sends this, too
	case err != nil:
		s.note(fmt.Sprintf("spans are not passed on: %v", err))
		return
	}
	if patience > 0 {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if stats := sender.Drain(ctx); stats.Waiting > 0 {
			s.note(fmt.Sprintf("%s for %s: forkspan forward sends what waits", counted(int(stats.Waiting), "span waits", "spans wait"), backend.Name()))
		}
	}
	sender.Close()
}
