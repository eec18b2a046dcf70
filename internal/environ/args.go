package environ

import "strings"

// Placeholders are the values that a command's arguments may ask for.
type Placeholders struct {
	HostPort    string // host:port of the receiver
	Traceparent string // of the context the command's processes are given
	TraceID     string
	RunID       string
}

// Replace returns args with {forkspan.endpoint}, {forkspan.hostport}, {forkspan.traceparent}, {forkspan.trace_id} and
// {forkspan.run} replaced. Every other text in braces stays.
func (p Placeholders) Replace(args []string) []string {
	r := strings.NewReplacer(
		"{forkspan.endpoint}", "http://"+p.HostPort,
		"{forkspan.hostport}", p.HostPort,
		"{forkspan.traceparent}", p.Traceparent,
		"{forkspan.trace_id}", p.TraceID,
		"{forkspan.run}", p.RunID,
	)
	out := make([]string, len(args))
	for i, arg := range args {
		out[i] = r.Replace(arg)
	}
	return out
}
