package forward

import (
	"math"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Bounds of what is under way. It comes twice when we, or the backend, die before the answer is written down; so it is no more
// than a hundredth of what was taken since that happened last, however large the requests are.
const (
	leastAloft = 10  // spans
	aloftShare = 100 // of the spans that were taken
)

// A backend is far away when none of its answers, of some, came sooner. There each wait for an answer costs more than some spans
// that come twice.
const (
	distant   = 20 * time.Millisecond
	someTries = 8
)

// Pace is what forwarders have learned of how much may be under way to one backend. It is handed on from one to the next, and is
// used by one at a time.
type Pace struct {
	calm     int64         // spans that were taken since a try had no answer
	answers  int           // so far, up to someTries
	quickest time.Duration // of the answers
}

// answered learns from an answer to a part that was taken.
func (a *Pace) answered(p *part, took time.Duration) {
	if a.answers == 0 || took < a.quickest {
		a.quickest = took
	}
	a.answers = min(a.answers+1, someTries)
	a.calm += p.spans
}

// most is how many spans may be under way at once.
func (a *Pace) most() int64 {
	if a.answers == someTries && a.quickest >= distant {
		return math.MaxInt64
	}
	return max(leastAloft, a.calm/aloftShare)
}

// aloft is what is under way.
type aloft struct {
	parts int
	spans int64
}

func (a *aloft) start(p *part) {
	a.parts++
	a.spans += p.spans
}

func (a *aloft) end(p *part) {
	a.parts--
	a.spans -= p.spans
}

// chop cuts a part into some that have no more than most spans. Parts that are no requests stay whole: where they have come to is
// not written down.
func chop(p *part, most int64) []*part {
	if p.spans <= most || p.of.request == 0 {
		return []*part{p}
	}
	return pieces(p, most)
}

// tail returns a request without its first spans; ok is false when it is not as long.
func tail(body []byte, spans, without int64) (rest []byte, ok bool) {
	data := &tracepb.TracesData{}
	if without >= spans || proto.Unmarshal(body, data) != nil {
		return nil, false
	}
	_, data = halve(data, int(without))
	rest, err := proto.Marshal(data)
	return rest, err == nil
}
