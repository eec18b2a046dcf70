package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"forkspan.dev/forkspan/internal/scriptspan"
)

// runVariable tells a forkspan inside a run about it, so no flag may be set by it, nor by the one that names a script's span.
const runVariable = "FORKSPAN_RUN"

// flagVariables are the environment variables that set a flag of cmd, the first that is set wins: that of the command's flag,
// then that of the flag wherever it occurs. A flag of the root has one.
func flagVariables(cmd *cobra.Command, flag *pflag.Flag) []string {
	name := variableName(flag.Name)
	general := "FORKSPAN_" + name
	if cmd.Root().PersistentFlags().Lookup(flag.Name) != nil {
		return []string{general}
	}
	path := strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
	special := "FORKSPAN_" + variableName(path) + "_" + name
	if general == runVariable || general == scriptspan.SpanVariable {
		return []string{special}
	}
	return []string{special, general}
}

func variableName(s string) string {
	return strings.ToUpper(strings.NewReplacer("-", "_", " ", "_").Replace(s))
}

// applyEnvironment sets the flags of cmd that the command line left alone from their variables. An empty variable is no value.
func (a *app) applyEnvironment(cmd *cobra.Command) error {
	var failed error
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if flag.Changed || flag.Name == "help" || failed != nil {
			return
		}
		for _, variable := range flagVariables(cmd, flag) {
			value := a.Env(variable)
			if value == "" {
				continue
			}
			if err := cmd.Flags().Set(flag.Name, value); err != nil {
				err = rootCause(err)
				if want := wantedValue(flag); want != "" {
					err = errors.New("want " + want)
				}
				failed = usageError(cmd, fmt.Errorf("read %s=%q: %w", variable, value, err))
			}
			return
		}
	})
	return failed
}

// rootCause takes pflag's words about the flag off an error: the user set a variable.
func rootCause(err error) error {
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok || inner.Unwrap() == nil {
			return err
		}
		err = inner.Unwrap()
	}
}

const environmentText = `Every flag can be set by an environment variable: its name in capitals with _ for -, after FORKSPAN_ and
the command, or after FORKSPAN_ alone for every command that has the flag. The command line goes before
the environment, the command's variable before the general one; an empty variable counts as not set.

  FORKSPAN_SHOW_DEPTH=3     --depth 3 of forkspan show
  FORKSPAN_JSON=true        --json of every command
  FORKSPAN_DB=/data/a.db    --db

Also read:

  OTEL_EXPORTER_OTLP_…      your backend, for run, serve and forward
  TRACEPARENT, TRACESTATE   the parent of runs and spans; lower case goes first
  NO_COLOR, TERM=dumb       no colour and no box drawing
  LC_ALL, LC_CTYPE, LANG    no box drawing where what is set names no UTF-8
  COLUMNS                   how wide to draw where there is no terminal
  XDG_STATE_HOME, HOME      where the store is
  XDG_RUNTIME_DIR, TMPDIR   where journals of a run are when /dev/shm is small
  CI                        run waits for your backend as --drain 10s does
  FORKSPAN_RUN              set inside a run; a forkspan in there joins it
  FORKSPAN_SPAN             set by forkspan span start; what span end ends
  GITHUB_ENV                the file that span --export=github appends to`

// newEnvironmentTopic is a help topic: forkspan help environment.
func newEnvironmentTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "environment",
		Short: "Flags by environment variables",
		Long:  environmentText,
	}
}
