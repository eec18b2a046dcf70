package cli

import (
	"context"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

// open opens the store: where it belongs, else below the temporary folder, else in memory.
func (r *localRun) open() {
	defer close(r.opened)
	path, remark := r.storePath()
	if remark != "" {
		r.note("%s", remark)
	}
	opts := r.storeOptions(func(message string) { r.note("%s", message) })
	st, err := store.Open(context.Background(), path, opts)
	if noPlace(err) && !r.storeChosen() {
		spare := store.SparePath()
		if st2, err2 := store.Open(context.Background(), spare, opts); err2 == nil {
			r.note("%v: the trace goes to %s", err, spare)
			st, err = st2, nil
		}
	}
	if err != nil {
		r.note("%v: the trace is kept in memory, for this run only", err)
		if st, err = store.Open(context.Background(), store.Memory, opts); err != nil {
			r.note("%v: the trace is lost", err)
			return
		}
	}
	r.reserveForward(st)
	r.stores = append(r.stores, st)
}

// put commits a request. A store that fails while the run goes on (a full disk) is followed by one in memory.
func (r *localRun) put(ctx context.Context, body []byte, sum otlp.Summary) error {
	st := r.writable()
	if st == nil {
		r.counts.drop("no store", sum.Spans)
		return nil
	}
	err := st.Append(ctx, r.runID, body, sum)
	if err == nil || ctx.Err() != nil {
		r.onward.wake()
		return err
	}
	r.mu.Lock()
	if r.stores[len(r.stores)-1] == st && st.Path() != store.Memory {
		r.note("%v: what comes now is kept in memory, for this run only", err)
		if spare, err2 := store.Open(ctx, store.Memory, r.storeOptions(nil)); err2 == nil {
			r.stores = append(r.stores, spare)
			r.forwardFrom(spare)
		}
	}
	next := r.stores[len(r.stores)-1]
	r.mu.Unlock()
	if next != st {
		err = next.Append(ctx, r.runID, body, sum)
		r.onward.wake()
	}
	if err != nil {
		r.counts.drop("store failed", sum.Spans)
	}
	return err
}

func (r *localRun) writable() *store.Store {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.stores) == 0 {
		return nil
	}
	return r.stores[len(r.stores)-1]
}

// save writes the run's row. Failing to is said once, by put.
func (r *localRun) save() {
	if st := r.writable(); st != nil {
		_ = st.PutRun(context.Background(), r.record)
	}
}

// saveToFailed writes the run's row to the stores that failed while it went on. Often there is room for a row where there was
// none for spans; without it the run would look cut off.
func (r *localRun) saveToFailed() {
	for _, st := range r.stores[:max(0, len(r.stores)-1)] {
		_ = st.PutRun(context.Background(), r.record) // that it has failed was said
	}
}

// keep stores spans of our own. Each is counted once: unfinished ones when they end.
func (r *localRun) keep(body []byte, counted int) {
	_, sum, _, _, err := otlp.Scan(body)
	if err != nil {
		r.note("store the command's span: %v", err)
		return
	}
	sum.Processes = nil // the spans are about processes, they do not come from one
	if err := r.put(context.Background(), body, sum); err == nil && counted > 0 {
		r.counts.addOwn(sum)
	}
}
