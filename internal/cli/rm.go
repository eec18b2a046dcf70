package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"forkspan.dev/forkspan/internal/recovery"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/internal/timeline"
)

const rmLong = `Remove runs from the store with all their spans. It asks nothing and says what was removed.

A run is named by "last" for the latest, -2 for the one before it, a prefix of its id, or its --name. A run that is
still going on is not removed.`

const rmExample = `  forkspan rm 7K3F
  forkspan rm last -2
  forkspan rm --older-than 7d`

func newRm(a *app) *cobra.Command {
	var olderThan age
	cmd := references(&cobra.Command{
		Use:               "rm {RUN… | --older-than AGE}",
		Aliases:           []string{"remove"},
		Short:             "Remove runs from the store",
		Long:              rmLong,
		Example:           rmExample,
		ValidArgsFunction: a.completeRuns,
		Args: func(cmd *cobra.Command, args []string) error {
			switch aged := cmd.Flags().Changed("older-than"); {
			case len(args) == 0 && !aged && a.Env("FORKSPAN_RM_OLDER_THAN") == "" && a.Env("FORKSPAN_OLDER_THAN") == "":
				return errors.New("rm: no run named")
			case len(args) > 0 && aged:
				return errors.New("rm: runs and --older-than exclude each other")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.rm(cmd.Context(), args, olderThan)
		},
	})
	cmd.Flags().Var(&olderThan, "older-than", "remove the runs that began longer ago than this `age`: 90m, 12h, 7d, 4w")
	return cmd
}

func (a *app) rm(ctx context.Context, refs []string, olderThan age) error {
	db, err := a.openExisting(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	all, err := db.Runs(ctx)
	if err != nil {
		return err
	}
	var chosen []store.Run
	if len(refs) > 0 {
		chosen, err = a.chooseNamed(ctx, db, refs)
	} else {
		chosen = a.chooseOld(all, time.Now().Add(-time.Duration(olderThan)))
	}
	if err != nil {
		return err
	}
	short := shortIDs(all)
	for _, run := range chosen {
		spans, err := countSpans(ctx, db, run)
		if err != nil {
			return err
		}
		unsent, err := db.UnsentOf(ctx, run.ID)
		if err != nil {
			return err
		}
		if err := recovery.Discard(run); err != nil {
			return fmt.Errorf("remove run %s: %w", run.ID, err)
		}
		if err := db.Remove(ctx, run.ID); err != nil {
			return err
		}
		for _, target := range slices.Sorted(maps.Keys(unsent)) {
			a.note(counted(int(unsent[target]), "span", "spans") + " of it had not been sent to " + target)
		}
		_, err = fmt.Fprintf(a.Stdout, "removed run %s: %s, %s\n", short[run.ID], commandLine(run),
			counted(spans, "span", "spans"))
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	if len(chosen) == 0 {
		a.note("no run began longer ago than " + timeline.FormatDuration(int64(olderThan)))
	}
	return nil
}

// countSpans is a run's number of spans, of one that was cut off those that were stored.
func countSpans(ctx context.Context, db *store.Store, run store.Run) (int, error) {
	if run.Account.Spans > 0 {
		return int(run.Account.Spans), nil
	}
	traces, err := db.Traces(ctx, run.ID)
	n := 0
	for _, t := range traces {
		n += t.Spans
	}
	return n, err
}

// chooseNamed finds all runs before any is removed.
func (a *app) chooseNamed(ctx context.Context, db *store.Store, refs []string) ([]store.Run, error) {
	var chosen []store.Run
	seen := map[string]bool{}
	for _, ref := range refs {
		run, err := a.findRun(ctx, db, ref)
		if err != nil {
			return nil, err
		}
		if recovery.Alive(run) {
			return nil, withHint(fmt.Errorf("remove run %s: it is still going on, supervised by pid %d", run.ID, run.PID),
				"end its command first")
		}
		if !seen[run.ID] {
			seen[run.ID] = true
			chosen = append(chosen, run)
		}
	}
	return chosen, nil
}

func (a *app) chooseOld(all []store.Run, before time.Time) []store.Run {
	var chosen []store.Run
	for _, run := range all {
		switch {
		case !run.Start.Before(before):
		case recovery.Alive(run):
			a.note("run " + run.ID + " is still going on: left alone")
		default:
			chosen = append(chosen, run)
		}
	}
	return chosen
}

// age is a duration that may be in days and weeks: 7d, 4w, 36h.
type age time.Duration

func (d *age) String() string {
	if d == nil || *d == 0 {
		return ""
	}
	return timeline.FormatDuration(int64(*d))
}

func (d *age) Type() string { return "age" }

func (d *age) Set(s string) error {
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if digits, ok := strings.CutSuffix(s, suffix); ok {
			n, err := strconv.ParseFloat(digits, 64)
			if err != nil || !(n >= 0 && n*float64(unit) <= float64(1<<62)) {
				break
			}
			*d = age(n * float64(unit))
			return nil
		}
	}
	parsed, err := time.ParseDuration(s)
	if err != nil || parsed < 0 {
		return errors.New("want an age such as 90m, 12h, 7d or 4w")
	}
	*d = age(parsed)
	return nil
}
