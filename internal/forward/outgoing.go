package forward

import (
	"context"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

// outgoing makes of stored requests what goes out.
type outgoing struct {
	settings Settings
}

func newOutgoing(s Settings) *outgoing { return &outgoing{settings: s} }

// remember learns from the requests of a route that went out before.
func (o *outgoing) remember(ctx context.Context, st *store.Store, r store.Route) {}

// convert returns a request as it goes out, with the number of its spans, and how many spans stay here though they have ended.
func (o *outgoing) convert(body []byte) (out []byte, spans, local int64) {
	out, cut := otlp.CutUnsampled(body)
	out, _ = otlp.CutUnfinished(out)
	all, err := otlp.Decode(out)
	if err != nil {
		return body, 1, 0 // the backend will say what it thinks of it
	}
	return out, int64(len(all)), int64(cut)
}
