package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// choiceValue is a flag that takes one of a few words.
type choiceValue struct {
	value *string
	words []string
}

func (c choiceValue) String() string {
	if c.value == nil {
		return ""
	}
	return *c.value
}

// Type is empty: pflag's help then shows --flag[=word] where the word may be left away.
func (c choiceValue) Type() string { return "" }

func (c choiceValue) Set(s string) error {
	if !slices.Contains(c.words, s) {
		return fmt.Errorf("want %s", strings.Join(c.words, ", "))
	}
	*c.value = s
	return nil
}

// choice adds a flag that takes one of words.
func choice(flags *pflag.FlagSet, value *string, name, standard string, words []string, usage string) {
	*value = standard
	flags.Var(choiceValue{value, words}, name, usage)
}

// completeWords offers words as a flag's values.
func completeWords(words ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}
