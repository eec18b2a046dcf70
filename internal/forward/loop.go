package forward

import (
	"context"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"forkspan.dev/forkspan/internal/store"
)

// loop is the one goroutine behind a Forwarder. It reads requests, has them sent by others, and settles them.
type loop struct {
	*Forwarder
	transport transport
	name      string // of the backend, for people
	atMost    int    // bytes of a request that is not split before it is sent; 0 for no limit
	timeout   time.Duration
	fixed     bool // the timeout is the user's choice
	outgoing  *outgoing

	more    bool            // there may be requests that are not read
	read    int64           // id of the last request that was read
	unread  []store.Request // read, and not looked at
	ahead   map[int64]bool  // requests that the forwarder before us has settled, and we have not looked at
	begun   store.Begun     // likewise
	letters []*letter
	queue   []*part
	aloft   aloft
	pace    *Pace
	results chan result

	counted  map[int64]bool // dead letters that Stats.Dead has
	deadRead int64          // id of the last dead letter that was read; see revive
	dead     bool           // there may be dead letters to read
	failures int            // in a row
	refusals int            // in a row
	access   bool           // the pause is for a refusal of us
	asked    bool           // the pause was asked for by the backend
	pause    time.Time
	told     bool // of a refusal

	finishing int // leftovers of the run that are not settled

	changed bool // there is something to settle
	settled store.Settlement
	drains  []drainage
}

// letter is one request or dead letter on its way.
type letter struct {
	request int64 // id; 0 for a dead letter
	dead    int64 // id of the dead letter; 0 for none
	parts   int   // not settled
	split   bool  // it was more than one part
	again   bool  // it is a dead letter once more
	last    int64 // id of a leftover of the run; 0 for none
	spans   int64 // of that
	settled int64 // spans, from its first one on
}

// part is what is sent at once: a letter, or some of its spans.
type part struct {
	of    *letter
	body  []byte
	spans int64
	first int64 // the place of its first span in the letter
}

// result is what became of a try.
type result struct {
	part   *part
	answer answer
	err    error
	slow   bool // there was no answer in time
	took   time.Duration
}

func newLoop(f *Forwarder, b *Backend, t transport) *loop {
	l := &loop{
		Forwarder: f, transport: t, name: b.Name(), atMost: b.maxRequest(), timeout: b.Timeout, fixed: b.Timeout > 0,
		outgoing: newOutgoing(f.options.Settings),
		more:     true, read: f.route.Position, dead: true, results: make(chan result, senders),
		ahead: make(map[int64]bool), counted: make(map[int64]bool), begun: f.route.Begun, pace: f.options.Pace,
	}
	if l.pace == nil {
		l.pace = new(Pace)
	}
	if !l.fixed {
		l.timeout = slowTimeout
	}
	l.settled.Position = f.route.Position
	l.settled.Error = f.route.Error
	for _, id := range f.route.Ahead {
		l.ahead[id] = true
	}
	return l
}

// run goes on until ctx ends.
func (l *loop) run(ctx context.Context) {
	defer l.transport.close()
	l.outgoing.remember(ctx, l.store, l.route)
	for ctx.Err() == nil {
		l.settle() // before more is sent: until then what was answered may come twice, too
		l.fill(ctx)
		l.finish(ctx)
		l.dispatch(ctx)
		l.settle()
		l.answerDrains(ctx)
		l.wait(ctx)
	}
	for l.aloft.parts > 0 { // they end with ctx, some with an answer
		l.take(ctx, <-l.results)
	}
	l.settle()
}

// wait returns when there is something to do.
func (l *loop) wait(ctx context.Context) {
	var tick <-chan time.Time
	if wait := time.Until(l.pause); wait > 0 && (len(l.queue) > 0 || l.access || !l.exhausted() || l.dead) {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		tick = timer.C
	}
	var drained <-chan struct{}
	if len(l.drains) > 0 {
		drained = l.drains[0].ctx.Done()
	}
	select {
	case r := <-l.results:
		l.take(ctx, r)
		for len(l.results) > 0 { // one transaction for all that are there
			l.take(ctx, <-l.results)
		}
	case <-l.wake:
		l.more = true
	case d := <-l.drain:
		l.drains = append(l.drains, d)
		l.more = true
		if !l.access && !l.asked {
			l.pause = time.Time{} // one more try: the backend may be back
		}
	case <-drained:
	case <-tick:
		if l.access {
			l.access, l.dead, l.deadRead = false, true, 0
		}
	case <-ctx.Done():
	}
}

// fill reads what comes next, dead letters first.
func (l *loop) fill(ctx context.Context) {
	if l.access {
		return // nothing will be taken for a while
	}
	if l.dead && len(l.queue) == 0 {
		l.revive(ctx)
	}
	for len(l.queue) < senders && len(l.letters) < window {
		if len(l.unread) == 0 {
			if !l.more {
				return
			}
			var err error
			if l.unread, err = l.store.RequestsOf(ctx, l.route.Run, l.route.ID, l.read); err != nil {
				l.fail(ctx, err)
				return
			}
			l.more = len(l.unread) > 0
			continue
		}
		r := l.unread[0]
		l.unread[0] = store.Request{}
		l.unread = l.unread[1:]
		l.read = r.ID
		l.accept(r)
	}
}

// exhausted tells whether all that is in the store has been looked at.
func (l *loop) exhausted() bool { return !l.more && len(l.unread) == 0 }

// accept queues a request as it goes out, unless it went before.
func (l *loop) accept(r store.Request) {
	body, spans, local := l.outgoing.convert(r.Body)
	if local > 0 && !l.ahead[r.ID] {
		l.count(func(s *Stats) { s.Local += local })
	}
	of := &letter{request: r.ID}
	if l.begun.Request == r.ID && l.options.Settings.Ratio == nil {
		if rest, ok := tail(body, spans, l.begun.Spans); ok {
			body, spans, of.settled = rest, spans-l.begun.Spans, l.begun.Spans
		}
	}
	if l.begun.Request <= r.ID {
		l.begun = store.Begun{}
	}
	l.letters = append(l.letters, of)
	if spans == 0 || l.ahead[r.ID] {
		delete(l.ahead, r.ID)
		l.changed = true
		return
	}
	l.enqueue(of, body, spans)
}

// enqueue queues a letter, in parts where it is sure to be too large.
func (l *loop) enqueue(of *letter, body []byte, spans int64) {
	whole := &part{of: of, body: body, spans: spans, first: of.settled}
	parts := []*part{whole}
	if l.atMost > 0 {
		parts = split(whole, l.atMost)
	}
	of.parts++
	of.split = len(parts) > 1
	l.queue = append(l.queue, replace(whole, parts)...)
}

// replace has a part's place taken by those that it was cut into.
func replace(p *part, parts []*part) []*part {
	at := p.first
	for _, q := range parts {
		q.first = at
		at += q.spans
	}
	p.of.parts += len(parts) - 1
	return parts
}

// revive queues dead letters: those that other credentials may revive, or all.
func (l *loop) revive(ctx context.Context) {
	letters, err := l.store.DeadLetters(ctx, l.route.ID, l.deadRead)
	if err != nil {
		l.fail(ctx, err)
		return
	}
	if l.dead = len(letters) > 0; !l.dead {
		l.options.Dead = false // those that die now stay so
	}
	for _, d := range letters {
		l.deadRead = d.ID
		if d.Access || l.options.Dead {
			l.enqueue(&letter{dead: d.ID}, d.Body, d.Spans)
		}
	}
}

// most is how many spans may be under way at once. Where somebody waits for the end of a run requests go whole.
func (l *loop) most() int64 {
	if len(l.drains) > 0 && !l.options.resumed {
		return math.MaxInt64
	}
	return l.pace.most()
}

// dispatch sends what may be sent.
func (l *loop) dispatch(ctx context.Context) {
	limit, most := senders, l.most()
	if l.failures > 0 || l.refusals > 0 || l.pace.answers == 0 {
		limit = 1 // one is enough to find out
	}
	if l.access || time.Now().Before(l.pause) {
		return
	}
	for l.aloft.parts < limit && len(l.queue) > 0 {
		p := l.queue[0]
		if p.spans > most-l.aloft.spans {
			if l.aloft.parts > 0 {
				return
			}
			if parts := chop(p, most); len(parts) > 1 {
				l.queue = append(replace(p, parts), l.queue[1:]...)
				p = parts[0]
			}
		}
		l.queue[0] = nil
		l.queue = l.queue[1:]
		l.aloft.start(p)
		timeout := l.timeout
		go func() {
			try, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			began := time.Now()
			a, err := l.transport.send(try, p.body)
			l.results <- result{p, a, err, err != nil && try.Err() != nil && ctx.Err() == nil, time.Since(began)}
		}()
	}
}

// take settles a try, or has its part tried again.
func (l *loop) take(ctx context.Context, r result) {
	p := r.part
	l.aloft.end(p)
	if r.err == nil {
		l.pace.answered(p, r.took)
		l.delivered(p, r.answer)
		return
	}
	f := judge(r.err)
	if f.verdict == again {
		l.queue = append([]*part{p}, l.queue...)
		if f.unanswered {
			l.pace.calm = 0
		}
		if ctx.Err() == nil {
			l.retryLater(r, f)
		}
		return
	}
	if f.verdict == tooLarge && p.spans > 1 {
		if parts := pieces(p, (p.spans+1)/2); len(parts) > 1 { // by spans: in other parts it may be shorter than it was
			p.of.split = true
			l.queue = append(replace(p, parts), l.queue...)
			return
		}
	}
	l.bury(p, f)
}

func (l *loop) delivered(p *part, a answer) {
	rejected := min(a.rejected, p.spans)
	l.failures, l.refusals = 0, 0
	if !l.asked || !time.Now().Before(l.pause) { // what was under way when the backend asked for a pause ends none
		l.asked, l.pause = false, time.Time{}
	}
	l.settled.Sent += p.spans - rejected
	l.settled.Rejected += rejected
	l.settled.Error = ""
	l.closePart(p)
	died := l.died(p)
	l.count(func(s *Stats) {
		s.Dead -= died
		s.Sent += p.spans - rejected
		s.Rejected += rejected
		s.Failing, s.Reason = false, ""
		if rejected > 0 {
			s.Reason = "rejected: " + a.message
		}
	})
}

// died is how many spans of a part are counted as dead, from the last try of their dead letter.
func (l *loop) died(p *part) int64 {
	if l.counted[p.of.dead] {
		return p.spans
	}
	return 0
}

func (l *loop) closePart(p *part) {
	of := p.of
	of.parts--
	if of.settled == p.first {
		of.settled += p.spans
	}
	l.changed = true
	if of.parts == 0 && of.dead != 0 && !of.again {
		l.settled.Revived = append(l.settled.Revived, of.dead)
	}
	if of.parts == 0 && of.last != 0 {
		l.finished(of)
	}
}

// retryLater pauses after a failure that may pass.
func (l *loop) retryLater(r result, f *failure) {
	if l.failures++; r.slow && !l.fixed {
		l.timeout = min(2*l.timeout, maxTimeout) // or a backend that is always slower would get the same again and again
	}
	pause := maxPause
	if l.failures < 16 {
		pause = min(firstPause<<(l.failures-1), maxPause)
	}
	pause += rand.N(2*pause/5+1) - pause/5
	l.asked = f.after > 0
	text := f.Error()
	if r.slow {
		text = "no answer in time"
	}
	l.fails(text, max(pause, f.after))
}

// fails pauses.
func (l *loop) fails(text string, pause time.Duration) {
	if at := time.Now().Add(pause); at.After(l.pause) {
		l.pause = at
	}
	if l.settled.Error != text {
		l.settled.Error, l.changed = text, true
	}
	l.count(func(s *Stats) { s.Failing, s.Reason, s.Next = true, text, l.pause })
}

// fail pauses after an error of the store.
func (l *loop) fail(ctx context.Context, err error) {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return
	}
	l.failures++
	l.fails(err.Error(), maxPause)
}

// bury makes a dead letter of what was refused for good.
func (l *loop) bury(p *part, f *failure) {
	d := store.DeadLetter{Spans: p.spans, Reason: f.Error(), Access: f.verdict == noAccess, Body: p.body}
	if p.of.dead != 0 && !p.of.split {
		d.ID, p.of.again = p.of.dead, true
	}
	l.settled.Dead = append(l.settled.Dead, d)
	l.closePart(p)
	died := l.died(p)
	l.count(func(s *Stats) { s.Dead += p.spans - died })
	l.failures = 0
	if l.refusals++; f.verdict != noAccess && l.refusals < maxRefused {
		l.count(func(s *Stats) { s.Reason = f.Error() })
		return
	}
	if !l.told {
		l.told = true
		l.notify("%s refuses the spans (%v): they wait here", l.name, f)
	}
	// The next try, after the pause, is made with what was refused; dead letters are read again for it.
	l.queue = slices.DeleteFunc(l.queue, func(p *part) bool { return p.of.dead != 0 })
	l.access = true
	l.fails(f.Error(), accessPause)
}

// settle writes down what has become of the requests.
func (l *loop) settle() {
	if !l.changed {
		return
	}
	s := &l.settled
	done := 0
	for done < len(l.letters) && l.letters[done].parts == 0 {
		s.Position = max(s.Position, l.letters[done].request)
		done++
	}
	l.letters = append(l.letters[:0], l.letters[done:]...)
	s.Ahead = nil
	for _, of := range l.letters {
		if of.parts == 0 {
			s.Ahead = append(s.Ahead, of.request)
		}
	}
	s.Ahead = append(s.Ahead, slices.Sorted(maps.Keys(l.ahead))...)
	s.Begun = l.begun
	if len(l.letters) > 0 && l.letters[0].settled > 0 && l.options.Settings.Ratio == nil { // a sampler's spans are not counted on
		s.Begun = store.Begun{Request: l.letters[0].request, Spans: l.letters[0].settled}
	}
	// What was sent has been sent: this is not for ctx to end.
	if err := l.store.Settle(context.Background(), l.route.ID, s); err != nil {
		l.count(func(s *Stats) { s.Reason = err.Error() })
		return // with the next one
	}
	l.changed = false
	for _, id := range s.Revived {
		delete(l.counted, id)
	}
	for i := range s.Dead {
		if id := s.Dead[i].ID; id != 0 { // it has none when the run was removed
			l.counted[id] = true
		}
	}
	*s = store.Settlement{Position: s.Position, Error: s.Error}
}

// answerDrains tells those that wait that nothing more can be done in their time.
func (l *loop) answerDrains(ctx context.Context) {
	kept := l.drains[:0]
	for _, d := range l.drains {
		idle := l.exhausted() && !l.dead && len(l.queue) == 0 && l.aloft.parts == 0
		hopeless := l.aloft.parts == 0 && l.access
		if deadline, ok := d.ctx.Deadline(); ok && l.aloft.parts == 0 && l.pause.After(deadline) {
			hopeless = true
		}
		if idle || hopeless || d.ctx.Err() != nil || ctx.Err() != nil {
			close(d.done)
			continue
		}
		kept = append(kept, d)
	}
	clear(l.drains[len(kept):])
	l.drains = kept
}
