package cli

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/recovery"
	"forkspan.dev/forkspan/internal/scriptspan"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/internal/timeline"
)

// runTitle says which run it is and how it went: vllm serve exited 0 after 2m41s, run 7K3FQ0W2ZD.
func runTitle(run store.Run) string {
	title := commandLine(run)
	switch {
	case run.Kind == "import":
		title += " imported"
	case run.Kind == scriptKind && run.Exit == nil:
		title += " has not ended"
	case run.Exit == nil && recovery.Alive(run):
		title += " has been running for " + timeline.FormatDuration(time.Since(run.Start).Nanoseconds())
	case run.Exit == nil:
		title += " was cut off"
	default:
		title += " " + how(run) + " after " + timeline.FormatDuration(run.End.Sub(run.Start).Nanoseconds())
	}
	return title + ", run " + run.ID
}

// commandLine is a run as its user would call it: the name given to it, else its command, shortened.
func commandLine(run store.Run) string {
	const longest = 60
	if len(run.Command) == 0 {
		return timeline.Truncate(timeline.Clean(run.Name), longest)
	}
	words := []string{run.Name} // free text, if it is not the program's
	if base := run.Command[0]; run.Name == base || strings.HasSuffix(base, "/"+run.Name) || strings.HasSuffix(base, `\`+run.Name) {
		words = words[:0]
		for _, word := range append([]string{run.Name}, run.Command[1:]...) {
			words = append(words, quoted(word))
		}
	}
	return timeline.Truncate(timeline.Clean(strings.Join(words, " ")), longest)
}

// quoted is a word as one would type it into a shell. What is only quoted for the shell's patterns stays as it is.
func quoted(word string) string {
	if word != "" && !strings.ContainsAny(word, " \t\n\"'`$&|;<>()#\\") {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// how is outcome in a sentence.
func how(run store.Run) string {
	if run.Exit.Signal != 0 {
		return "was ended by " + outcome(run)
	}
	return outcome(run)
}

// outcome is how a run's command ended, or that it has not.
func outcome(run store.Run) string {
	switch {
	case run.Kind == "import":
		return ""
	case run.Kind == scriptKind:
		return scriptOutcome(run)
	case run.Exit == nil && recovery.Alive(run):
		return "running"
	case run.Exit == nil:
		return "cut off"
	case run.Exit.Signal != 0:
		return commandspan.SignalName(syscall.Signal(run.Exit.Signal))
	}
	return fmt.Sprintf("exited %d", run.Exit.Code)
}

// partOf names the script that a run belongs to, whose spans are around the run's.
func partOf(ctx context.Context, db *store.Store, run store.Run) string {
	script, err := db.FindRun(ctx, scriptspan.RunID(run.TraceID))
	if err != nil || script.Kind != scriptKind || script.TraceID != run.TraceID {
		return ""
	}
	return ", part of " + commandLine(script) + " (run " + script.ID + ")"
}

// scriptOutcome is how the first span of a script ended.
func scriptOutcome(run store.Run) string {
	switch {
	case run.Exit == nil:
		return "open"
	case run.Exit.Code != 0:
		return "failed"
	}
	return "ended"
}

// shortIDs are the ids of runs as far as they are needed to tell them apart, four characters at least.
func shortIDs(runs []store.Run) map[string]string {
	const least = 4
	short := make(map[string]string, len(runs))
	for n := least; len(short) < len(runs); n++ {
		seen := map[string]int{}
		for _, r := range runs {
			seen[r.ID[:min(n, len(r.ID))]]++
		}
		done := true
		for _, r := range runs {
			prefix := r.ID[:min(n, len(r.ID))]
			if _, ok := short[r.ID]; ok {
				continue
			}
			if seen[prefix] == 1 || n >= len(r.ID) {
				short[r.ID] = prefix
			} else {
				done = false
			}
		}
		if done {
			break
		}
	}
	return short
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return timeline.FormatCount(int64(n)) + " " + many
}

func countTraces(spans []otlp.Span) int {
	seen := map[otlp.TraceID]bool{}
	for i := range spans {
		seen[spans[i].TraceID] = true
	}
	return len(seen)
}
