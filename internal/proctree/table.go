package proctree

import (
	"fmt"
	"strings"
	"time"
)

// Table writes processes one a line, for people who look for a mistake.
func Table(processes []Process) string {
	var b strings.Builder
	for _, p := range processes {
		fmt.Fprintf(&b, "%d.%d parent %d.%d %q", p.PID, p.Start, p.Parent.PID, p.Parent.Start, p.Program)
		if len(p.Args) > 0 {
			fmt.Fprintf(&b, " args %q", p.Args)
		}
		fmt.Fprintf(&b, " started %s", p.Started.Format("15:04:05.000000"))
		if !p.Execed.IsZero() {
			fmt.Fprintf(&b, " exec +%v", p.Execed.Sub(p.Started).Round(time.Microsecond))
		}
		if !p.Ended.IsZero() {
			fmt.Fprintf(&b, " ended +%v", p.Ended.Sub(p.Started).Round(time.Microsecond))
		}
		switch {
		case p.OOMKilled:
			b.WriteString(" out of memory")
		case p.Signal != 0:
			fmt.Fprintf(&b, " signal %d", p.Signal)
		case p.Exited:
			fmt.Fprintf(&b, " code %d", p.Code)
		}
		fmt.Fprintf(&b, " cpu %v+%v rss %d\n", p.User, p.System, p.MaxRSS)
	}
	return b.String()
}
