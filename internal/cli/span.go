package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/scriptspan"
)

const spanLong = `Make spans from shell scripts. start prints its context, which makes the span the parent of all that comes
after it; any later process ends it. No server is needed: the spans go into the store, or to the run that the script is in.`

const spanExample = `  eval "$(forkspan span start build)"          # the commands after it are below it
  make && forkspan run -- ./server --warm-up
  eval "$(forkspan span end)"                  # and the span around it is the parent again
  forkspan span start job --export=github      # for the steps that follow in GitHub Actions
  forkspan span add download --start -12s      # after the fact`

func newSpan(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "span COMMAND",
		Short:   "Make spans from scripts",
		Long:    spanLong,
		Example: spanExample,
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return withHint(&exitError{status: statusUsage, err: fmt.Errorf("span: unknown command %q", args[0])},
				"forkspan span start, end, event or add")
		},
	}
	cmd.AddCommand(newSpanStart(a), newSpanEnd(a), newSpanEvent(a), newSpanAdd(a))
	return cmd
}

// timeHelp and attrHelp are part of the help of every span command.
const timeHelp = `A time is RFC 3339, Unix time (seconds with or without a fraction, ms, us or ns), -5s for five seconds ago, or now.`

const attrHelp = `An attribute is KEY=TEXT, or KEY:=JSON for a number, true, false or a list: --attr model=qwen --attr gpus:=8.`

// exportFlag adds --export, which says for whom the context is printed.
func exportFlag(cmd *cobra.Command, export *string) {
	words := []string{"sh", "github", "none"}
	choice(cmd.Flags(), export, "export", "sh", words,
		"print for `whom`: sh for eval, github appends to the file $GITHUB_ENV, none prints no variables")
	_ = cmd.RegisterFlagCompletionFunc("export", completeWords(words...)) // fails for an unknown flag only
}

// export hands variables on. plain is printed instead where there are to be none.
func (a *app) export(how string, variables []scriptspan.Variable, plain string) error {
	var err error
	switch {
	case how == "none":
		_, err = fmt.Fprint(a.Stdout, plain)
	case how == "sh":
		_, err = fmt.Fprint(a.Stdout, scriptspan.Shell(variables))
	case a.Env("GITHUB_ENV") == "":
		_, err = fmt.Fprint(a.Stdout, scriptspan.Lines(variables))
	default:
		err = appendFile(a.Env("GITHUB_ENV"), scriptspan.Lines(variables))
	}
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

func appendFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// spanUsage is an error in how a span command was called.
func spanUsage(command string, err error) error {
	return withHint(&exitError{status: statusUsage, err: fmt.Errorf("span %s: %w", command, err)},
		"forkspan span %s --help says how it is used", command)
}

// spanFailed is an error that is not the caller's.
func spanFailed(command string, err error) error { return fmt.Errorf("span %s: %w", command, err) }

// openSpans opens the store that remembers spans between commands: where it belongs, else below the temporary folder.
func (a *app) openSpans(ctx context.Context, command string) (*spanStore, error) {
	st, err := a.openStoreOrSpare(ctx)
	if err != nil {
		return nil, spanFailed(command, err)
	}
	lookup := environ.Lookup(os.Environ())
	s := &spanStore{app: a, Store: st, lookup: lookup}
	s.outer, s.inside = environ.FindOuter(lookup)
	return s, nil
}
