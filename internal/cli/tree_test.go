package cli

import (
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func testRoot(t *testing.T) *cobra.Command {
	t.Helper()
	streams := Standard()
	streams.Env = func(string) string { return "" }
	return newRoot(&app{Streams: streams})
}

// ours tells whether we wrote a command's help, not cobra.
func ours(c *cobra.Command) bool {
	path := c.CommandPath() + " "
	return c.Parent() != nil && c.Name() != "help" && !strings.HasPrefix(path, "forkspan completion ") && !strings.HasPrefix(c.Name(), "__")
}

// The style of the help, for every command.
func TestHelpStyle(t *testing.T) {
	walkCommands(testRoot(t), func(c *cobra.Command) {
		if !ours(c) {
			return
		}
		t.Run(c.CommandPath(), func(t *testing.T) {
			if c.Hidden {
				return
			}
			if c.Short == "" || !unicode.IsUpper(rune(c.Short[0])) || strings.HasSuffix(c.Short, ".") || len(c.Short) > 60 {
				t.Errorf("Short is not one short phrase with a capital and no full stop: %q", c.Short)
			}
			if !c.Runnable() {
				return
			}
			if c.Parent() == c.Root() && c.GroupID == "" {
				t.Error("the command is in no group")
			}
			if c.Long == "" {
				t.Error("Long is missing")
			}
			for line := range strings.Lines(c.Long) {
				if n := len([]rune(line)); n > 121 {
					t.Errorf("a line of Long has %d columns: %s", n, line)
				}
			}
			if c.Example == "" {
				t.Error("Example is missing")
			}
			for line := range strings.Lines(c.Example) {
				if n := len([]rune(line)); n > 101 || !strings.HasPrefix(line, "  ") || !strings.Contains(line, "forkspan ") {
					t.Errorf("an example is indented by two, calls forkspan and fits 100 columns: %q", line)
				}
			}
		})
	})
}

func TestFlagStyle(t *testing.T) {
	name := regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	walkCommands(testRoot(t), func(c *cobra.Command) {
		if !ours(c) || c.Hidden {
			return
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			t.Run(c.CommandPath()+" --"+f.Name, func(t *testing.T) {
				if !name.MatchString(f.Name) {
					t.Error("the name is not lower case words with hyphens")
				}
				_, usage := pflag.UnquoteUsage(f)
				if usage == "" || strings.HasSuffix(usage, ".") || unicode.IsUpper(rune(usage[0])) && !unicode.IsUpper(rune(usage[1])) {
					t.Errorf("usage is a phrase without capital and full stop: %q", usage)
				}
				variables := flagVariables(c, f)
				for _, v := range variables {
					if v == runVariable {
						t.Errorf("%s is taken: it tells a forkspan about the run it is in", v)
					}
				}
			})
		})
	})
}

// No variable sets two different flags of one command, or a flag of one command through the name of another.
func TestFlagVariablesAreUnambiguous(t *testing.T) {
	special := map[string]string{}
	root := testRoot(t)
	walkCommands(root, func(c *cobra.Command) {
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" {
				return
			}
			v := flagVariables(c, f)[0]
			if other, ok := special[v]; ok {
				t.Errorf("%s sets --%s of %s and %s", v, f.Name, c.CommandPath(), other)
			}
			special[v] = c.CommandPath() + " --" + f.Name
		})
	})
	walkCommands(root, func(c *cobra.Command) {
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if vs := flagVariables(c, f); len(vs) == 2 && special[vs[1]] != "" {
				t.Errorf("%s means %s, and --%s wherever it occurs", vs[1], special[vs[1]], f.Name)
			}
		})
	})
}

func TestManualPages(t *testing.T) {
	walkCommands(testRoot(t), func(c *cobra.Command) {
		page := manPage(c)
		for line := range strings.Lines(page) {
			if strings.HasPrefix(line, ".") && !regexp.MustCompile(`^\.(TH|SH|TP|PP|BR|B|nf|fi)\b`).MatchString(line) {
				t.Errorf("%s: %q begins like a macro", c.CommandPath(), line)
			}
		}
		if !strings.Contains(page, ".SH NAME\n") || !strings.Contains(page, ".SH DESCRIPTION\n") {
			t.Errorf("%s: sections are missing", c.CommandPath())
		}
	})
}

func TestRelativeReferencesAreNoFlags(t *testing.T) {
	root := testRoot(t)
	for _, test := range []struct{ in, want string }{
		{"show -2", "show @-2"},
		{"--db x show -12 --all", "--db x show @-12 --all"},
		{"rm -1 -3", "rm @-1 @-3"},
		{"show -- -2", "show -- -2"},
		{"run head -2", "run head -2"},
		{"run -- head -2", "run -- head -2"},
		{"show -x", "show -x"},
		{"show -0", "show -0"},
	} {
		if got := strings.Join(shieldReferences(root, strings.Fields(test.in)), " "); got != test.want {
			t.Errorf("%q becomes %q, want %q", test.in, got, test.want)
		}
	}
}
