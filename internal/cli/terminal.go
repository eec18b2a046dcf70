package cli

import (
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"

	"forkspan.dev/forkspan/internal/timeline"
)

// terminalSize is the size of the terminal behind w, and whether there is one.
func terminalSize(w io.Writer) (columns, lines int, terminal bool) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, 0, false
	}
	columns, lines, _ = term.GetSize(int(f.Fd())) // 0 when the terminal does not tell
	return columns, lines, true
}

// textOptions fits a drawing to w: colours and box drawing for a terminal whose user has not set NO_COLOR, or as --color says.
func (a *app) textOptions(w io.Writer) timeline.TextOptions {
	columns, _, terminal := terminalSize(w)
	if columns <= 0 {
		columns, _ = strconv.Atoi(a.Env("COLUMNS"))
	}
	fancy := terminal && a.Env("NO_COLOR") == "" && a.Env("TERM") != "dumb"
	utf8 := a.utf8Locale()
	switch a.color {
	case "always":
		fancy, utf8 = true, true
	case "never":
		fancy = false
	}
	return timeline.TextOptions{Width: max(columns, 0), Unicode: fancy && utf8, Color: fancy && enableColors(w)}
}

// utf8Locale is false when the user's locale names another character set. Where it names none, which is common in containers,
// terminals understand UTF-8 all the same.
func (a *app) utf8Locale() bool {
	for _, variable := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := a.Env(variable); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return true
}
