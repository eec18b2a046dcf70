package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/forward"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/internal/timeline"
)

// targetState is a backend with what waits for it.
type targetState struct {
	Target   string   `json:"target"`
	Protocol string   `json:"protocol"`
	Needs    []string `json:"needs,omitempty"`
	Runs     int      `json:"runs"`
	Sent     int64    `json:"sent"`
	Rejected int64    `json:"rejected"`
	Waiting  int64    `json:"waiting"`
	Dead     int64    `json:"dead"`
	Removed  int64    `json:"removedRequests,omitempty"`
	Error    string   `json:"error,omitempty"`
	ErrorAt  string   `json:"errorAt,omitempty"`
	Blocked  string   `json:"blocked,omitempty"` // why what waits is not sent from here
	at       time.Time
	key      string
}

func (a *app) listTargets(ctx context.Context, f sendFlags) error {
	have, err := forward.Find(f.to, environ.Lookup(os.Environ()))
	if err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	states, err := a.targetStates(ctx, have)
	if err != nil {
		return err
	}
	if f.json {
		return a.writeJSON(struct {
			Version int            `json:"version"`
			Targets []*targetState `json:"targets"`
		}{jsonVersion, append([]*targetState{}, states...)})
	}
	if len(states) == 0 {
		_, err := fmt.Fprintln(a.Stdout, "nothing was ever passed on to a backend")
		return err
	}
	t := &table{
		head:  []string{"BACKEND", "PROTOCOL", "RUNS", "SENT", "WAITING", "DEAD", "REMOVED", "LAST ERROR"},
		right: []bool{false, false, true, true, true, true, true, false},
		spare: []int{6, 2, 1},
	}
	for _, s := range states {
		last := s.Error
		if last != "" {
			last = ago(time.Now(), s.at) + ": " + because(last)
		}
		if s.Blocked != "" {
			last = strings.TrimPrefix(last+"; "+s.Blocked, "; ")
		}
		t.add(s.Target, s.Protocol, strconv.Itoa(s.Runs), timeline.FormatCount(s.Sent), timeline.FormatCount(s.Waiting),
			timeline.FormatCount(s.Dead), timeline.FormatCount(s.Removed), last)
	}
	return a.writeTable(t, len(t.head)-1, 0)
}

// targetStates adds up the routes of each target. have is the backend that is set.
func (a *app) targetStates(ctx context.Context, have *forward.Backend) ([]*targetState, error) {
	db, err := a.openExisting(ctx)
	if errors.Is(err, errNothingRecorded) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer db.Close()
	routes, err := db.Routes(ctx)
	if err != nil {
		return nil, err
	}
	letters, err := db.DeadLetters(ctx, 0, 0)
	if err != nil {
		return nil, err
	}
	dead, revivable := map[int64]int64{}, map[int64]bool{}
	for _, d := range letters {
		dead[d.Route] += d.Spans
		revivable[d.Route] = revivable[d.Route] || d.Access
	}
	var states []*targetState
	for _, r := range routes {
		at := slices.IndexFunc(states, func(s *targetState) bool {
			return s.key == r.Target.Key()
		})
		if at < 0 {
			at = len(states)
			states = append(states, &targetState{
				Target: r.Target.Address, Protocol: r.Target.Protocol, Needs: r.Target.Needs, key: r.Target.Key(),
			})
		}
		s := states[at]
		_, waiting, err := db.Unsent(ctx, r)
		if err != nil {
			return nil, err
		}
		s.Runs++
		s.Sent += r.Sent
		s.Rejected += r.Rejected
		s.Waiting += waiting
		s.Dead += dead[r.ID]
		s.Removed += r.Removed
		if r.Error != "" && !r.Failed.Before(s.at) {
			s.Error, s.at, s.ErrorAt = r.Error, r.Failed, jsonTime(r.Failed)
		}
		if _, err := forward.For(r.Target, have, false); err != nil && (waiting > 0 || revivable[r.ID]) {
			s.Blocked = err.Error()
		}
	}
	return states, nil
}

type jsonDeadLetter struct {
	ID     int64  `json:"id"`
	Run    string `json:"run,omitempty"`
	Target string `json:"target"`
	Spans  int64  `json:"spans"`
	Reason string `json:"reason"`
	Time   string `json:"time"`
}

func (a *app) listDead(ctx context.Context, f sendFlags) error {
	var letters []store.DeadLetter
	routes := map[int64]store.Route{}
	db, err := a.openExisting(ctx)
	switch {
	case errors.Is(err, errNothingRecorded):
	case err != nil:
		return err
	default:
		defer db.Close()
		all, err := db.Routes(ctx)
		if err != nil {
			return err
		}
		for _, r := range all {
			routes[r.ID] = r
		}
		if letters, err = db.DeadLetters(ctx, 0, 0); err != nil {
			return err
		}
	}
	if f.json {
		list := []jsonDeadLetter{}
		for _, d := range letters {
			r := routes[d.Route]
			list = append(list, jsonDeadLetter{d.ID, r.Run, r.Target.Address, d.Spans, d.Reason, jsonTime(d.Time)})
		}
		return a.writeJSON(struct {
			Version int              `json:"version"`
			Dead    []jsonDeadLetter `json:"dead"`
		}{jsonVersion, list})
	}
	if len(letters) == 0 {
		_, err := fmt.Fprintln(a.Stdout, "no dead letters")
		return err
	}
	t := &table{
		head:  []string{"RUN", "BACKEND", "WHEN", "SPANS", "REASON"},
		right: []bool{false, false, true, true, false},
		spare: []int{2},
	}
	for _, d := range letters {
		r := routes[d.Route]
		t.add(shortID(r.Run), r.Target.Address, ago(time.Now(), d.Time), timeline.FormatCount(d.Spans), because(d.Reason))
	}
	return a.writeTable(t, len(t.head)-1, 0)
}

type jsonSending struct {
	Run      string `json:"run,omitempty"`
	Target   string `json:"target"`
	Sent     int64  `json:"sent"`
	Rejected int64  `json:"rejected"`
	Dead     int64  `json:"dead"`
	Waiting  int64  `json:"waiting"`
	Error    string `json:"error,omitempty"`
}

// reportSendings prints what became of what waited: a line a target, or a member a run.
func (a *app) reportSendings(f sendFlags, done []sending) error {
	list := []jsonSending{}
	var targets []store.Target
	sums := map[string]forward.Stats{}
	for _, s := range done {
		j := jsonSending{s.Run, s.Target.Address, s.stats.Sent, s.stats.Rejected, s.stats.Dead, s.stats.Waiting, s.stats.Reason}
		if s.err != nil {
			j.Error, s.stats.Reason = s.err.Error(), s.err.Error()
		}
		list = append(list, j)
		key := s.Target.Key()
		sum, known := sums[key]
		if !known {
			targets = append(targets, s.Target)
		}
		sum.Add(s.stats)
		sums[key] = sum
	}
	if f.json {
		return a.writeJSON(struct {
			Version int           `json:"version"`
			Runs    []jsonSending `json:"runs"`
		}{jsonVersion, list})
	}
	if len(done) == 0 {
		_, err := fmt.Fprintln(a.Stdout, "nothing waits")
		return err
	}
	for _, target := range targets {
		sum := sums[target.Key()]
		parts := []string{counted(int(sum.Sent), "span", "spans") + " sent"}
		for _, n := range []struct {
			count int64
			what  string
		}{{sum.Rejected, " rejected"}, {sum.Dead, " refused"}, {sum.Waiting, " waiting"}} {
			if n.count > 0 {
				parts = append(parts, timeline.FormatCount(n.count)+n.what)
			}
		}
		line := target.Address + ": " + strings.Join(parts, ", ")
		if sum.Reason != "" {
			line += " (" + because(sum.Reason) + ")"
		}
		if _, err := fmt.Fprintln(a.Stdout, line); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(done, func(s sending) bool { return errors.Is(s.err, forward.ErrOthers) }) {
		fmt.Fprintln(a.Stderr, "hint: forkspan forward --adopt sends it with those that are set here")
	}
	return nil
}
