package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// completeReferences offers the latest runs, and files, for up to most arguments.
func (a *app) completeReferences(most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.runCompletions(cmd.Context(), args, prefix), cobra.ShellCompDirectiveDefault
	}
}

// completeRuns offers runs only.
func (a *app) completeRuns(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.runCompletions(cmd.Context(), args, prefix), cobra.ShellCompDirectiveNoFileComp
}

// completeFiles leaves completion to the shell, which offers files.
func completeFiles(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

// plainUsage takes the marks of flags' values out of what flags are said to do: a shell shows it as it is.
func plainUsage(root *cobra.Command) {
	walkCommands(root, func(c *cobra.Command) {
		for _, flags := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags()} {
			flags.VisitAll(func(f *pflag.Flag) { _, f.Usage = pflag.UnquoteUsage(f) })
		}
	})
}

func (a *app) runCompletions(ctx context.Context, taken []string, prefix string) []cobra.Completion {
	const most = 50
	if ctx == nil {
		ctx = context.Background()
	}
	a.completing = true // nothing but completions may be written
	db, err := a.openExisting(ctx)
	if err != nil {
		return nil
	}
	defer db.Close()
	runs, err := db.Runs(ctx)
	if err != nil {
		return nil
	}
	short := shortIDs(runs)
	var found []cobra.Completion
	for _, r := range runs {
		id := short[r.ID]
		if len(prefix) > len(id) {
			id = r.ID
		}
		if !strings.HasPrefix(id, strings.ToUpper(prefix)) || slices.Contains(taken, id) || len(found) == most {
			continue
		}
		found = append(found, cobra.CompletionWithDesc(id, strings.TrimSpace(commandLine(r)+" "+outcome(r))))
	}
	return found
}
