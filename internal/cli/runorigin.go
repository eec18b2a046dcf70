package cli

import (
	"context"
	"time"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/lineage"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/proctree"
	"forkspan.dev/forkspan/internal/receive"
)

// origin is where a request of a run came from: over a connection, which its context tells, or out of a journal.
type origin struct {
	process proctree.ID // that wrote the journal; zero for a connection
}

// take stores a request of the command's processes and hands it on. When it returns without error, the request is committed.
// It is safe for concurrent use.
func (r *localRun) take(ctx context.Context, from origin, body []byte, sum otlp.Summary) error {
	select {
	case <-r.opened:
	case <-ctx.Done():
		return ctx.Err()
	}
	sender := lineage.Origin{Journal: from.process}
	if from == (origin{}) {
		local, remote := receive.Conn(ctx)
		sender = r.tree.Peer(local, remote, sum)
	}
	supervisor := commandspan.Made(body, sum)
	if supervisor {
		sum.Processes = nil // it is a forkspan further down, and speaks about its command
	}
	if err := r.put(ctx, body, sum); err != nil {
		return err
	}
	if supervisor {
		r.tree.Supervisor(sender)
	} else {
		r.tree.Note(sender, body, sum)
	}
	r.counts.add(sum)
	if r.awaitedSpan != "" && hasEnded(body, r.awaitedSpan) {
		select {
		case r.awaited <- time.Now():
		default:
		}
	}
	return nil
}
