package timeline

import (
	"time"

	"forkspan.dev/forkspan/internal/otlp"
)

// Timestamps outside these years come from clocks that were never set or from garbage; they do not stretch the drawing.
var (
	earliestClock = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	latestClock   = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
)

// idleGap is the shortest silence that can end start-up when nobody said when the command was ready.
const idleGap = int64(time.Minute)

// window chooses the time that is drawn: from the start of everything to the end of start-up. What lies outside is drawn at the edge.
func (f *forest) window(opts Options) (start, end int64) {
	if opts.Ready == 0 {
		opts.Ready = f.readyTime()
	}
	chosen := func(n *node) bool { return opts.All || !n.has(served) }
	if len(f.roots) == 0 {
		chosen = func(*node) bool { return true }
	}
	var any, command *node // command is the ambient parent
	for i := range f.nodes {
		n := &f.nodes[i]
		if !chosen(n) || n.span.Start < earliestClock || n.span.Start > latestClock {
			continue
		}
		if any == nil {
			any, start, end = n, n.span.Start, n.span.Start
		}
		if n.has(ambient) && !opts.All {
			if command == nil {
				command = n
			}
			continue
		}
		gap := n.span.Start - end
		late := end > start && gap > idleGap && gap > 2*(end-start)
		if late && !opts.All && opts.Ready == 0 {
			break
		}
		if n.end <= latestClock && !f.afterReady(n, start, opts) {
			end = max(end, n.end)
		}
	}
	switch {
	case any == nil && len(f.nodes) > 0: // no clock anywhere
		start, end = f.nodes[0].span.Start, f.nodes[0].end
	case end == start && command != nil: // nothing else is there
		end = max(end, min(command.end, latestClock))
	}
	if opts.Start != 0 && opts.Start < end {
		start = opts.Start
	}
	if opts.Ready > start && !opts.All {
		end = max(end, opts.Ready)
	}
	end = max(start, end)
	if command != nil && !command.has(unfinished) && command.end > end && command.end-end <= (end-start)/10 {
		end = command.end // a bar that is cut off so near its end would say less
	}
	return start, end
}

// readyTime is when the command was ready, as the span of its start-up tells; 0 when none does.
func (f *forest) readyTime() int64 {
	for i := range f.nodes {
		n := &f.nodes[i]
		if ofRun(n.span) && n.span.Name == startupSpan && n.span.Status != otlp.StatusError {
			return n.span.End
		}
	}
	return 0
}

// afterReady tells whether n is none of start-up's business: begun after the command was ready, or under way for long after.
func (f *forest) afterReady(n *node, start int64, opts Options) bool {
	if opts.Ready == 0 || opts.All {
		return false
	}
	return n.span.Start >= opts.Ready || n.end > opts.Ready+(opts.Ready-start)/4
}
