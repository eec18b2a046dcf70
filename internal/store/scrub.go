package store

import (
	"slices"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/redact"
)

// What forkspan itself records besides spans goes through these on its way into the database: whoever made it, no secret is
// stored.

func (r *Run) scrub() {
	r.Name, r.Command = redact.String(r.Name), redact.Args(r.Command)
}

// Scrubbed returns a copy of p without secrets. What its spans brought along is only looked at with spansToo.
func (p *Process) Scrubbed(spansToo bool) Process {
	c := *p
	c.Program, c.Args = redact.String(p.Program), redact.Args(p.Args)
	if spansToo {
		c.Senders = slices.Clone(p.Senders)
		for i := range c.Senders {
			scrubSender(&c.Senders[i])
		}
	}
	return c
}

// scrubSender does to a process's identity what [otlp.Redact] does to the resource it was read from.
func scrubSender(p *otlp.ProcessSummary) {
	for _, text := range [...]*string{&p.Service, &p.InstanceID, &p.Kind, &p.Name, &p.RunID} {
		*text = redact.String(*text)
	}
}
