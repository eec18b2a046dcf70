package cli

import (
	"context"
	"time"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/forward"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/supervise"
)

// outerRun adds the command's span to the run we are in, which has the port, the store and the last word.
type outerRun struct {
	*session
	outer    environ.Outer
	forward  *forward.Sender // nil when it could not be made
	resource []otlp.Field
}

func newOuterRun(s *session, outer environ.Outer) *outerRun {
	r := &outerRun{session: s, outer: outer, resource: commandspan.Resource(s.lookup, s.name, outer.RunID)}
	var err error
	r.forward, err = forward.NewSender(&forward.Backend{
		Protocol: "http/protobuf", Address: environ.Endpoint(outer.HostPort), Timeout: outerFarewell,
	})
	if err != nil {
		s.note("send to the run %s: %v", shortID(outer.RunID), err)
	}
	if s.flags.output != "" || s.flags.summary != "" {
		s.note("inside the run %s: -o and --summary are left to it (--new-run begins one of its own)", shortID(outer.RunID))
	}
	return r
}

// outerFarewell is how long the outer run may take to store our last span.
const outerFarewell = 2 * time.Second

func (r *outerRun) hostPort() string { return r.outer.HostPort }

func (r *outerRun) prepare()           {}
func (r *outerRun) journalDir() string { return "" } // the outer run's is in the environment
func (r *outerRun) abandon()           {}

func (r *outerRun) send(spans ...commandspan.Span) {
	if r.forward != nil {
		r.forward.Send(commandspan.Encode(r.resource, version(), spans...), len(spans))
	}
}

func (r *outerRun) begin(spans []commandspan.Span)              { r.send(spans...) }
func (r *outerRun) ready(_ time.Time, startup commandspan.Span) { r.send(startup) }
func (r *outerRun) progress()                                   {}

func (r *outerRun) end(_ supervise.Outcome, spans []commandspan.Span) {
	if r.forward == nil {
		return
	}
	r.send(spans...)
	ctx, cancel := context.WithTimeout(context.Background(), outerFarewell)
	defer cancel()
	if stats := r.forward.Close(ctx); stats.Taken == 0 {
		r.note("the run %s did not take the span of %s: %s", shortID(r.runID), r.name, oneLine(stats.Reason))
	}
}
