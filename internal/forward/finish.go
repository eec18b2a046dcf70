package forward

import (
	"context"
	"errors"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/store"
)

// leftover is a request that goes out at the end of a run, behind all that was stored of it. Its id is that of the stored request
// whose unfinished spans it has, an odd number less than 0 for spans of processes, and an even one for those of them that are
// unfinished: the same whoever makes it.
type leftover struct {
	id   int64
	body []byte
}

// finish queues what goes out at the end of the run.
func (l *loop) finish(ctx context.Context) {
	settings := &l.options.Settings
	if !settings.finishing() || l.finishing > 0 || !l.over.Load() || len(l.drains) == 0 || !l.exhausted() || l.access || len(l.queue) > 0 {
		return
	}
	leftovers, err := l.leftovers(ctx)
	if err != nil {
		l.fail(ctx, err)
		return
	}
	done := make(map[int64]bool, len(settings.Finished))
	for _, id := range settings.Finished {
		done[id] = true
	}
	for _, rest := range leftovers {
		out, spans, local := l.outgoing.convert(rest.body)
		if done[rest.id] {
			continue
		}
		l.count(func(s *Stats) { s.Local += local })
		if spans > 0 {
			l.finishing++
			l.count(func(*Stats) { l.left += spans })
			l.enqueue(&letter{last: rest.id, spans: spans}, out, spans)
		}
	}
	if l.finishing == 0 {
		l.ended()
	}
}

// leftovers returns what goes out at the end of the run, also what has gone out already.
func (l *loop) leftovers(ctx context.Context) (list []leftover, err error) {
	if l.options.Settings.Processes && !l.failed.Load() {
		bodies, err := processes(ctx, l.store, l.route.Run)
		if err != nil {
			return nil, err
		}
		for i, body := range bodies {
			list = append(list, leftover{-1 - 2*int64(i), body})
		}
	}
	if l.options.Settings.Unfinished {
		return interrupted(ctx, l.store, l.route.Run, list)
	}
	return list, nil
}

// processes returns requests with the spans of a run's processes.
func processes(ctx context.Context, st *store.Store, id string) ([][]byte, error) {
	run, err := st.FindRun(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil // we were killed before there was a run
	}
	if err != nil {
		return nil, err
	}
	known, err := st.Tree(ctx, id)
	if err != nil {
		return nil, err
	}
	tree := commandspan.NewTree(id, run.Name, run.TraceID, run.SpanID)
	for request, err := range st.Requests(ctx, id) {
		if err != nil {
			return nil, err
		}
		if tree.See(request.Body) {
			break
		}
	}
	return tree.Requests(known), nil
}

// finished writes down that a leftover has been settled.
func (l *loop) finished(of *letter) {
	l.count(func(*Stats) { l.left -= of.spans })
	settings := &l.options.Settings
	settings.Finished = append(settings.Finished, of.last)
	if l.finishing--; l.finishing == 0 {
		l.ended()
		return
	}
	l.settled.Options = settings.encode()
}

// ended writes down that all of them have.
func (l *loop) ended() {
	settings := &l.options.Settings
	settings.Ended, settings.Finished = true, nil
	l.settled.Options, l.settled.Finished, l.changed = settings.encode(), true, true
}
