package forward

import (
	"context"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

// outgoing makes of stored requests what goes out. What it does to a request depends only on the requests of the run before it,
// so that one that is sent twice is the same both times. It is not safe for concurrent use.
type outgoing struct {
	settings Settings
	ranks    *ranks
	requests *requests
}

func newOutgoing(s Settings) *outgoing {
	return &outgoing{settings: s, ranks: newRanks(), requests: newRequests(&s)}
}

// maxRemembered is how many requests before a forwarder's first one are read again.
const maxRemembered = 2048

// remember learns from the requests of a route that went out before. A failure to read them costs at most the place of some
// spans in their trace.
func (o *outgoing) remember(ctx context.Context, st *store.Store, r store.Route) {
	if o.settings.Verbatim || r.Position == 0 || r.Run == "" {
		return
	}
	after, err := st.Back(ctx, r.Run, r.Position, maxRemembered)
	for err == nil {
		var page []store.Request
		page, err = st.RequestsOf(ctx, r.Run, r.ID, after)
		if len(page) == 0 {
			return
		}
		for _, request := range page {
			if request.ID > r.Position {
				return
			}
			after = request.ID
			o.convert(request.Body)
		}
	}
}

// convert returns a request as it goes out, with the number of its spans, and how many spans stay here though they have ended.
func (o *outgoing) convert(body []byte) (out []byte, spans, local int64) {
	o.requests.learn(body)
	out, cut := otlp.CutUnsampled(body)
	out, _ = otlp.CutUnfinished(out)
	all, err := otlp.Decode(out)
	if err != nil {
		return body, 1, 0 // the backend will say what it thinks of it
	}
	if o.settings.Verbatim || len(all) == 0 {
		return out, int64(len(all)), int64(cut)
	}
	changes := o.ranks.changes(all)
	changes = o.requests.changes(all, changes)
	if changes == nil {
		return out, int64(len(all)), int64(cut)
	}
	changed, left, err := apply(out, changes)
	if err != nil {
		return out, int64(len(all)), int64(cut)
	}
	return changed, int64(left), int64(cut + len(all) - left)
}

// change is what becomes of one span on its way out.
type change struct {
	drop   bool
	span   otlp.SpanID         // its new id; zero for its own
	parent otlp.SpanID         // its new parent; zero for its own
	trace  otlp.TraceID        // its new trace; zero for its own
	root   bool                // it has no parent any more, but a link to what was its parent
	links  map[spanRef]spanRef // where its links lead to instead
}

// spanRef names a span.
type spanRef struct {
	trace otlp.TraceID
	span  otlp.SpanID
}

// relink has a link of the span lead elsewhere: edit changes where it has led so far.
func (c *change) relink(l otlp.Link, edit func(to *spanRef)) {
	from := spanRef{l.TraceID, l.SpanID}
	to, ok := c.links[from]
	if !ok {
		to = from
	}
	edit(&to)
	if c.links == nil {
		c.links = make(map[spanRef]spanRef)
	}
	c.links[from] = to
}
