package forward

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"forkspan.dev/forkspan/internal/store"
)

// For returns the backend of a target: have, where it is that backend, else one made of the address alone, where that is enough.
// The error says what is missing. Spans that were to go with the headers or the certificate of one tenant do not go with those of
// another, unless they are adopted.
func For(target store.Target, have *Backend, adopt bool) (*Backend, error) {
	const missing = "it takes what is not set here: %s"
	if have != nil {
		ours := have.Target()
		if ours.Protocol == target.Protocol && ours.Address == target.Address {
			if adopt || ours.Identity == target.Identity && len(lacks(target.Needs, ours.Needs)) == 0 {
				return have, nil
			}
			if lack := lacks(target.Needs, ours.Needs); len(lack) > 0 {
				return nil, fmt.Errorf(missing, strings.Join(lack, ", "))
			}
			if len(target.Needs) > 0 {
				return nil, fmt.Errorf("%w of %s", ErrOthers, strings.Join(target.Needs, ", "))
			}
		}
	}
	if len(target.Needs) > 0 {
		return nil, fmt.Errorf(missing, strings.Join(target.Needs, ", "))
	}
	return FromEnviron(func(name string) (string, bool) {
		switch name {
		case "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":
			return target.Address, true
		case "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL":
			return target.Protocol, true
		}
		return "", false
	})
}

// ErrOthers says that what waits was to go with other values, perhaps of another tenant, than are set now.
var ErrOthers = errors.New("waits for other values than are set here")

// lacks returns what of the needs is not there.
func lacks(needs, there []string) (missing []string) {
	for _, need := range needs {
		if !slices.Contains(there, need) {
			missing = append(missing, need)
		}
	}
	return missing
}

// Resume opens a forwarder for a route of the store. It goes on as the run has begun to be forwarded. ErrBusy when another process
// is at it; store.ErrNotFound when the route's run was removed.
func Resume(ctx context.Context, st *store.Store, route store.Route, have *Backend, opts Options) (*Forwarder, error) {
	b, err := For(route.Target, have, opts.Adopt)
	if err != nil {
		return nil, err
	}
	mine, err := reserve(st, route.ID)
	if err != nil {
		return nil, err
	}
	if route, err = st.Route(ctx, route.ID); err != nil { // another may have moved it since the caller read it
		mine.unlock()
		return nil, err
	}
	opts.Run, opts.Settings, opts.Reserved, opts.resumed = route.Run, decodeSettings(route.Options), mine, true
	f, err := openRoute(ctx, st, route, b, opts)
	if err == nil {
		f.Finish(true) // who records a run has its lock until the end
	}
	return f, err
}

// Background sends what earlier forkspans have left for backends that it has all it takes for, until ctx ends or nothing is left.
// One run a target is sent at a time.
func Background(ctx context.Context, st *store.Store, have *Backend, notify func(msg string)) {
	routes, err := st.WaitingRoutes(ctx)
	if err != nil {
		return // whoever has more to do with the store will say so
	}
	byTarget := make(map[string][]store.Route)
	for _, r := range routes {
		byTarget[r.Target.Key()] = append(byTarget[r.Target.Key()], r)
	}
	var sending sync.WaitGroup
	for _, routes := range byTarget {
		sending.Go(func() {
			var pace Pace
			for _, r := range routes {
				f, err := Resume(ctx, st, r, have, Options{Pace: &pace, Notify: notify})
				switch {
				case errors.Is(err, ErrBusy), errors.Is(err, store.ErrNotFound):
					continue
				case err != nil:
					return
				}
				f.Drain(ctx)
				stats := f.Close()
				if ctx.Err() != nil || stats.Failing {
					return
				}
			}
		})
	}
	sending.Wait()
}
