package cli

import (
	"context"
	"time"

	"forkspan.dev/forkspan/internal/supervise"
)

// lingerStep is how often lingering looks at the connections.
const lingerStep = 5 * time.Millisecond

// linger waits for processes that outlive the command while any of them may still send. It returns those that live on.
func (r *localRun) linger() []supervise.Descendant {
	ctx, cancel := context.WithTimeout(context.Background(), r.flags.linger)
	defer cancel()
	tick := time.NewTicker(lingerStep)
	defer tick.Stop()
wait:
	for r.server != nil && r.server.Stats().Connections > 0 || r.journalsLive() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			break wait
		case <-r.process.Interrupted():
			break wait
		}
	}
	cancel()
	return r.process.Descendants(ctx)
}
