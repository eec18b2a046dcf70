package cli

import (
	"fmt"
	"time"

	"forkspan.dev/forkspan/internal/timeline"
)

// progress is a line on a terminal's stderr about work that takes long; on anything else it is nothing.
type progress struct {
	app   *app
	what  string
	total int64 // bytes; 0 when not known
	next  time.Time
	drawn bool
}

const (
	progressPatience = time.Second
	progressInterval = 200 * time.Millisecond
)

func (a *app) newProgress(what string, total int64) *progress {
	p := &progress{app: a, what: timeline.Clean(what), total: total}
	if _, _, terminal := terminalSize(a.Stderr); terminal {
		p.next = time.Now().Add(progressPatience)
	}
	return p
}

// show draws the line when it is time to.
func (p *progress) show(read, spans int64) {
	now := time.Now()
	if p.next.IsZero() || now.Before(p.next) {
		return
	}
	p.next, p.drawn = now.Add(progressInterval), true
	if p.total == 0 {
		fmt.Fprintf(p.app.Stderr, "\r\x1b[K%s: %s spans", p.what, timeline.FormatCount(spans))
		return
	}
	fmt.Fprintf(p.app.Stderr, "\r\x1b[K%s: %d%%, %s spans", p.what, 100*min(read, p.total)/p.total, timeline.FormatCount(spans))
}

// done takes the line away.
func (p *progress) done() {
	if p.drawn {
		fmt.Fprint(p.app.Stderr, "\r\x1b[K")
	}
}
