package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The groups of commands in the help.
const (
	groupRecord = "record"
	groupRead   = "read"
	groupData   = "data"
	groupHelp   = "help"
)

const rootLong = `forkspan runs a command, receives the OpenTelemetry spans of all the processes it starts,
stores them and draws them as one trace. It is made for LLM servers, which are many processes,
and works for any program that passes trace context through the environment.

The exit status is 0, 1 when something failed, 2 for wrong use; that of run is its command's.`

const rootExample = `  forkspan run -- vllm serve Qwen/Qwen3-0.6B   # trace a server and all it starts
  forkspan show                                # the latest run's waterfall
  forkspan ls                                  # all runs
  forkspan show trace.json                     # a file from elsewhere`

// newRoot builds the command tree. Each command has a constructor newXxx(a) in its own file, and a line here that puts it in a
// group.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "forkspan COMMAND",
		Short:         "One trace across a tree of processes",
		Long:          rootLong,
		Version:       version(),
		Example:       rootExample,
		Args:          cobra.ArbitraryArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.applyEnvironment(cmd); err != nil {
				return err
			}
			return checkExclusive(cmd)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
	}
	root.PersistentFlags().StringVar(&a.dbPath, "db", "", "store `file` (default $XDG_STATE_HOME/forkspan/forkspan.db)")
	choice(root.PersistentFlags(), &a.color, "color", "auto", []string{"auto", "always", "never"},
		"colours and box drawing `when`: auto, always or never")
	_ = root.RegisterFlagCompletionFunc("db", completeFiles) // these fail for an unknown flag only
	_ = root.RegisterFlagCompletionFunc("color", completeWords("auto", "always", "never"))
	root.AddGroup(
		&cobra.Group{ID: groupRecord, Title: "Record"},
		&cobra.Group{ID: groupRead, Title: "Read"},
		&cobra.Group{ID: groupData, Title: "Data"},
		&cobra.Group{ID: groupHelp, Title: "Help"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupRecord, newRun(a), newProxy(a), newServe(a), newSpan(a))
	add(groupRead, newLs(a), newShow(a), newReport(a))
	add(groupData, newExport(a), newImport(a), newForward(a), newRm(a))
	add(groupHelp, newDoctor(a), newDemo(a), newDemoProcess(a), newVersion(a), newMan(a), newEnvironmentTopic())
	finishTree(root)
	fitHelp(root, a.helpWidth())
	return root
}

// finishTree gives every command what all have in common.
func finishTree(root *cobra.Command) {
	root.SetHelpCommandGroupID(groupHelp)
	root.SetCompletionCommandGroupID(groupHelp)
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.SetVersionTemplate(versionLine() + "\n")
	root.SetHelpTemplate(helpTemplate)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, flagError(err)) })
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	walkCommands(root, func(c *cobra.Command) {
		if c.Name() == "completion" && c.Parent() == root {
			c.Use = "completion SHELL"
		}
		if c.HasParent() && !c.Runnable() && c.HasSubCommands() {
			c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() } // or it would take any word for help
		}
		if c.Args != nil {
			check := c.Args
			c.Args = func(cmd *cobra.Command, args []string) error {
				if err := check(cmd, args); err != nil {
					return usageError(cmd, err)
				}
				return nil
			}
		}
	})
	checkTopics(root)
}

// checkExclusive finds flags that were set and exclude each other. It is cobra's check in words of ours.
func checkExclusive(cmd *cobra.Command) error {
	const annotation = "cobra_annotation_mutually_exclusive" // of [cobra.Command.MarkFlagsMutuallyExclusive]
	groups := map[string][]string{}
	var failed error
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		for _, group := range flag.Annotations[annotation] {
			groups[group] = append(groups[group], "--"+flag.Name)
			if len(groups[group]) > 1 {
				failed = usageError(cmd, fmt.Errorf("%s exclude each other", strings.Join(groups[group], " and ")))
			}
		}
	})
	return failed
}

// checkTopics makes an unknown topic of the help command an error.
func checkTopics(root *cobra.Command) {
	for _, c := range root.Commands() {
		if c.Name() == "help" {
			c.Args = func(_ *cobra.Command, topic []string) error {
				if _, rest, _ := root.Find(topic); len(rest) > 0 {
					return unknownCommand(root, rest[0])
				}
				return nil
			}
		}
	}
}

// walkCommands visits c and all commands below it.
func walkCommands(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, child := range c.Commands() {
		walkCommands(child, visit)
	}
}

// usageError is an error in how forkspan was called.
func usageError(cmd *cobra.Command, err error) error {
	return withHint(&exitError{status: statusUsage, err: err}, "%s --help says how it is used", cmd.CommandPath())
}

// flagError says of a value that a flag does not take what it takes, in words of ours where the flag is one of pflag's own types.
func flagError(err error) error {
	invalid, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	if want := wantedValue(invalid.GetFlag()); want != "" {
		return fmt.Errorf("invalid argument %q for \"--%s\" flag: want %s", invalid.GetValue(), invalid.GetFlag().Name, want)
	}
	return err
}

// wantedValue is what a flag of one of pflag's own types takes; "" for the others, whose errors say it.
func wantedValue(flag *pflag.Flag) string {
	switch flag.Value.Type() {
	case "bool":
		return "true or false"
	case "int":
		return "a whole number"
	case "duration":
		return "a time such as 500ms, 10s or 1m30s"
	}
	return ""
}

func unknownCommand(root *cobra.Command, name string) error {
	err := &exitError{status: statusUsage, err: fmt.Errorf("unknown command %q", name)}
	root.SuggestionsMinimumDistance = 2
	if similar := root.SuggestionsFor(name); len(similar) > 0 {
		return withHint(err, "did you mean %s?", strings.Join(similar, " or "))
	}
	return withHint(err, "forkspan --help lists the commands; to trace a program: forkspan run -- %s", name)
}

// atMostOne wants no more than one argument, called what in the message.
func atMostOne(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return fmt.Errorf("more than one %s: %s", what, strings.Join(plainReferences(args), " "))
		}
		return nil
	}
}

// noArguments wants none.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("it takes no arguments: %s", strings.Join(args, " "))
	}
	return nil
}

// referencesAnnotation marks commands whose arguments name runs, so that -2 is one and no flag.
const referencesAnnotation = "forkspan.references"

// references marks c so.
func references(c *cobra.Command) *cobra.Command {
	if c.Annotations == nil {
		c.Annotations = map[string]string{}
	}
	c.Annotations[referencesAnnotation] = "true"
	return c
}

// shieldReferences writes -2 as @-2 where it names the run before the latest; [app.load] takes both.
func shieldReferences(root *cobra.Command, args []string) []string {
	cmd, _, err := root.Find(args)
	if err != nil || cmd.Annotations[referencesAnnotation] == "" {
		return args
	}
	args = slices.Clone(args)
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if isRelative(arg) && (i == 0 || !wantsValue(cmd, args[i-1])) {
			args[i] = "@" + arg
		}
	}
	return args
}

// wantsValue tells whether arg is a flag of cmd whose value is the argument after it.
func wantsValue(cmd *cobra.Command, arg string) bool {
	name, ok := strings.CutPrefix(arg, "--")
	if !ok {
		return false
	}
	flag := cmd.Flag(name)
	return flag != nil && flag.NoOptDefVal == ""
}

// isRelative tells whether ref counts runs back from the latest: -1, -2.
func isRelative(ref string) bool {
	digits, ok := strings.CutPrefix(ref, "-")
	return ok && digits != "" && digits[0] != '0' && strings.Trim(digits, "0123456789") == ""
}
