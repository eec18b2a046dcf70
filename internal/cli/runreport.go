package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/redact"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/internal/supervise"
	"forkspan.dev/forkspan/internal/timeline"
)

// progress prints the start-up's waterfall and account, once; the run goes on.
func (r *localRun) progress() {
	r.putProcesses(r.tree.Settle(false))
	r.settleAccount()
	r.save()
	r.report("was ready after "+elapsed(r.readyAt.Sub(r.process.Started())), nil)
}

func (r *localRun) settleAccount() {
	r.record.Account = r.counts.account()
	accountOf(r.tree, &r.record.Account)
}

// report prints the account, and the waterfall where it is wanted and was not printed before. left are the processes that
// outlived the command.
func (r *localRun) report(how string, left []supervise.Descendant) {
	if r.flags.quiet {
		return
	}
	fmt.Fprintln(r.Stderr, r.accountLine(how))
	for _, line := range r.treeLines() {
		fmt.Fprintln(r.Stderr, "forkspan: "+line)
	}
	if hint := r.pythonHint(); hint != "" {
		fmt.Fprintln(r.Stderr, "hint: "+hint)
	}
	if note := r.instrumentNote(); note != "" {
		r.note("%s", note)
	}
	if len(left) > 0 {
		fmt.Fprintln(r.Stderr, "forkspan: still running: "+descendants(left, r.tree.Settled()))
	}
	_, lines, terminal := terminalSize(r.Stderr)
	if r.drawn || !terminal && r.flags.summary == "" {
		return
	}
	r.drawn = true
	if err := r.draw(r.Stderr, rowLimit(lines)); err != nil {
		r.note("draw the trace: %v", err)
	}
	if st := r.writable(); terminal && !r.flags.sample && st != nil && st.Path() != store.Memory {
		fmt.Fprintln(r.Stderr, "show it again: forkspan show "+r.shortest())
	}
}

// accountLine is the one line that a run always leaves.
func (r *localRun) accountLine(how string) string {
	c := &r.counts
	account := r.record.Account
	parts := []string{
		"forkspan: " + oneLine(r.name) + " " + how,
		"run " + r.shortest(),
		counted(int(account.Processes), "process", "processes"),
		counted(int(account.Spans), "span", "spans") + unfinished(account.Unfinished) + ", " + counted(int(account.Traces), "trace", "traces") + ", " + dropped(account.Dropped),
	}
	if account.Silent > 0 {
		parts[2] += ", " + timeline.FormatCount(account.Silent) + " silent"
	}
	if account.Processes == 0 || account.Coverage != nil && account.Senders == 0 {
		parts[2] = "no process sent spans"
		if account.Processes > 1 {
			parts[2] = counted(int(account.Processes), "process", "processes") + ", none sent spans"
		}
		own := int64(1)
		if r.startup != (otlp.SpanID{}) {
			own = 2
		}
		if account.Spans <= own {
			parts[3] = dropped(account.Dropped) // a count of our own spans would only confuse
		}
	}
	c.mu.Lock()
	sent := c.sent
	c.mu.Unlock()
	parts = append(parts, r.onward.account(sent)...)
	separator := " - "
	if r.textOptions(r.Stderr).Unicode {
		separator = " · "
	}
	return redact.String(strings.Join(parts, separator))
}

// oneLine is a text from elsewhere that fits into a line of ours.
func oneLine(s string) string {
	const most = 120
	if s = timeline.Clean(s); len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// unfinished tells of spans that have not ended.
func unfinished(spans int64) string {
	if spans == 0 {
		return ""
	}
	return " and " + timeline.FormatCount(spans) + " unfinished"
}

func dropped(reasons map[string]int64) string {
	var total int64
	var why []string
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		total += reasons[reason]
		why = append(why, fmt.Sprintf("%s %d", reason, reasons[reason]))
	}
	if total == 0 {
		return "0 dropped"
	}
	return fmt.Sprintf("%d dropped (%s)", total, strings.Join(why, ", "))
}

// descendants lists processes, the first few by name.
func descendants(list []supervise.Descendant, tree []store.Process) string {
	const most = 8
	var names []string
	for i, d := range list {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(list)-most))
			break
		}
		name, facts := describe(tree, d)
		names = append(names, timeline.Clean(name)+" (pid "+strconv.Itoa(d.PID)+facts+")")
	}
	return strings.Join(names, ", ")
}

// elapsed is a duration as people say it.
func elapsed(d time.Duration) string { return timeline.FormatDuration(d.Nanoseconds()) }

// shortID is the start of a run's id that is normally enough to name it.
func shortID(id string) string { return id[:min(4, len(id))] }

// shortest is the shortest prefix of the run's id that names it in the store.
func (r *localRun) shortest() string {
	st := r.writable()
	for n := 4; st != nil && n < len(r.runID); n++ {
		if found, err := st.FindRun(context.Background(), r.runID[:n]); err == nil && found.ID == r.runID {
			return r.runID[:n]
		}
	}
	return r.runID
}

// rowLimit is how many rows the waterfall may have: a screenful and some more, since it ends a long output. forkspan show has
// the rest.
func rowLimit(lines int) int { return max(2*lines, 60) }

// draw draws the run's waterfall.
func (r *localRun) draw(w io.Writer, rows int) error {
	spans, err := decodeAll(r.requests())
	if err != nil {
		return err
	}
	src := source{run: &r.record, spans: spans, tree: r.tree.Facts(false)}
	opts := src.timelineOptions()
	opts.MaxRows = rows
	t := timeline.Build(spans, opts)
	if r.flags.summary == "md" {
		return t.WriteMarkdown(w)
	}
	return t.WriteText(w, r.textOptions(w))
}

// requests yields what is stored of the run, in order of arrival.
func (r *localRun) requests() iter.Seq2[store.Request, error] {
	r.mu.Lock()
	stores := slices.Clone(r.stores)
	r.mu.Unlock()
	return func(yield func(store.Request, error) bool) {
		if len(stores) == 0 {
			yield(store.Request{}, errors.New("there is no store"))
			return
		}
		for _, st := range stores {
			for request, err := range st.Requests(context.Background(), r.runID) {
				if !yield(request, err) {
					return
				}
			}
		}
	}
}
