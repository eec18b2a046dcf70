package cli

import (
	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/forward"
)

// connectBackend begins to pass spans on, if the user has named a backend.
func (r *localRun) connectBackend() {
	if setting := environ.Silenced(r.lookup); setting != "" {
		r.note("%s is set: processes that heed it send no spans", setting)
		return
	}
	backend, err := forward.FromEnviron(r.lookup)
	switch {
	case err == nil && backend == nil:
		return
	case err == nil && !r.sampled:
		r.note("the trace that is continued is not sampled: it is recorded here, and not passed on to %s", backend.Name())
		return
	case err == nil:
		r.backend = backend.Name()
		r.forward, err = forward.New(backend)
	}
	if err != nil {
		r.note("spans are not passed on: %v", err)
	}
}
