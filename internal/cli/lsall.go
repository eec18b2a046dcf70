package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/internal/timeline"
)

// lsAllTraces lists the traces of all runs and of none, which is where those are that forkspan serve received: the latest first.
func (a *app) lsAllTraces(ctx context.Context, f lsFlags) error {
	db, err := a.openExisting(ctx)
	if errors.Is(err, errNothingRecorded) && f.json {
		return a.writeJSON(tracesJSON(&source{}, nil))
	}
	if err != nil {
		return err
	}
	defer db.Close()
	infos, err := db.Traces(ctx, "")
	if err != nil {
		return err
	}
	if len(infos) == 0 && !f.json {
		return nothingRecorded(db.Path())
	}
	slices.Reverse(infos)
	left := 0
	if f.limit > 0 && len(infos) > f.limit {
		left = len(infos) - f.limit
		infos = infos[:f.limit]
	}
	traces, err := summarize(ctx, db, infos)
	if err != nil {
		return err
	}
	if f.json {
		return a.writeJSON(tracesJSON(&source{}, traces))
	}
	t := &table{
		head:  []string{"TRACE", "ROOT", "START", "TIME", "SPANS", "ERRORS"},
		right: []bool{false, false, true, true, true, true},
		spare: []int{2, 5},
		ids:   true,
	}
	for i, tr := range traces {
		took := "-"
		if !infos[i].End.IsZero() {
			took = timeline.FormatDuration(tr.end - tr.start)
		}
		t.add(fmt.Sprintf("%x", tr.id), tr.root, infos[i].Start.Local().Format("2006-01-02 15:04:05"), took,
			timeline.FormatCount(int64(tr.spans)), timeline.FormatCount(int64(tr.errors)))
	}
	return a.writeTable(t, 1, left)
}

// summarize counts traces, each span once, while the budget of a list lasts; of the others it takes what the summaries tell, where
// a span that was delivered twice counts twice, and nothing of processes.
func summarize(ctx context.Context, db *store.Store, infos []store.TraceInfo) ([]traceSummary, error) {
	traces := make([]traceSummary, 0, len(infos))
	budget := countedSpans
	for _, t := range infos {
		if t.Spans <= budget {
			budget -= t.Spans
			src, err := loadTrace(ctx, db, t.TraceID)
			if err != nil {
				return nil, err
			}
			if whole := gatherTraces(src.spans); len(whole) == 1 {
				traces = append(traces, whole[0])
				continue
			}
		}
		end := t.End
		if end.IsZero() {
			end = t.Start
		}
		traces = append(traces, traceSummary{
			id: t.TraceID, root: t.Root, start: t.Start.UnixNano(), end: end.UnixNano(), spans: t.Spans, errors: t.Errors,
		})
	}
	return traces, nil
}

// noRuns is the error of a list of runs that is empty, although there may be traces.
func noRuns(ctx context.Context, db *store.Store) error {
	traces, err := db.Traces(ctx, "")
	if err != nil || len(traces) == 0 {
		return nothingRecorded(db.Path())
	}
	return withHint(fmt.Errorf("there are no runs, but %s of none (%s)", counted(len(traces), "trace", "traces"), db.Path()),
		"forkspan ls --traces --all-runs")
}
