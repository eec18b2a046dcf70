package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"forkspan.dev/forkspan/internal/timeline"
)

// helpWidth is how wide help is written: as the terminal, but no wider than is read with ease.
func (a *app) helpWidth() int {
	const least, most = 40, 100
	columns, _, _ := terminalSize(a.Stdout)
	if columns <= 0 {
		return most
	}
	return min(max(columns, least), most)
}

// fitHelp folds the help of all commands.
func fitHelp(root *cobra.Command, width int) {
	root.SetUsageTemplate(strings.ReplaceAll(usageTemplate, ".FlagUsages ", ".FlagUsagesWrapped "+strconv.Itoa(width)+" "))
	walkCommands(root, func(c *cobra.Command) { c.Long = fold(c.Long, width) })
}

// fold breaks the lines of paragraphs anew. A paragraph that begins with a space is left alone.
func fold(text string, width int) string {
	paragraphs := strings.Split(text, "\n\n")
	for i, p := range paragraphs {
		if strings.HasPrefix(p, " ") {
			continue
		}
		var b strings.Builder
		column := 0
		for _, word := range strings.Fields(p) {
			n := timeline.Columns(word)
			switch {
			case column == 0:
			case column+1+n > width:
				b.WriteByte('\n')
				column = 0
			default:
				b.WriteByte(' ')
				column++
			}
			b.WriteString(word)
			column += n
		}
		paragraphs[i] = b.String()
	}
	return strings.Join(paragraphs, "\n\n")
}

const helpTemplate = `{{with or .Long .Short}}{{. | trimTrailingWhitespaces}}

{{end}}{{if or .Runnable .HasSubCommands}}{{.UsageString}}{{end}}`

const usageTemplate = `{{if .Runnable}}Usage:
  {{.UseLine}}
{{end}}{{if .HasExample}}
Examples:
{{.Example}}
{{end}}{{if .HasAvailableSubCommands}}{{$cmds := .Commands}}{{range $group := .Groups}}{{$any := false}}
{{- range $cmds}}{{if and (eq .GroupID $group.ID) (or .IsAvailableCommand .IsAdditionalHelpTopicCommand)}}{{$any = true}}{{end}}{{end}}{{if $any}}
{{.Title}}:
{{- range $cmds}}{{if and (eq .GroupID $group.ID) (or .IsAvailableCommand .IsAdditionalHelpTopicCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding}}  {{.Short}}{{end}}{{end}}
{{end}}{{end}}{{if not .Groups}}
Commands:
{{- range $cmds}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}}  {{.Short}}{{end}}{{end}}
{{end}}{{end}}{{if .HasAvailableLocalFlags}}
Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}{{if .HasAvailableInheritedFlags}}
Flags of every command:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}{{if .HasAvailableSubCommands}}
{{.CommandPath}} COMMAND --help says more; forkspan help environment tells how variables set flags.
{{end}}`
