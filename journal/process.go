package journal

import (
	"crypto/rand"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// process is the journal of one process: that of the Writer, or of a child that was forked from it.
type process struct {
	w    *Writer
	mark *forkMark
	head header

	mu       sync.Mutex
	cur      *segment
	spares   []*segment // ready to be the next; mostSpares of them at most
	full     []*segment
	retired  []*segment // full, and nobody needs them: to be recycled
	tidying  int        // goroutines that are at work on such, or on a spare
	marking  int        // releases that are at work on records
	tidied   *sync.Cond // one of these has changed
	sequence uint32     // of cur
	files    uint32     // made so far
	size     int64      // bytes of all files
	plain    bool       // mapped memory has failed
	ended    bool
	stopping bool // nobody reads any more, and the background is about to end this
	owed     owed
	stats    Stats
	lastErr  error
	tryAgain time.Time // not before then, after a file could not be made
	makeErr  error     // because of this

	wake chan struct{} // capacity 1: there is work for the background
	stop chan struct{}
	done chan struct{} // closed when the background has ended; nil when it never began
}

// mostSpares is how many segments are kept to be used again. To make one costs more than all that is written to it; a batch of spans
// gives up several at once.
const mostSpares = 4

// retryEvery is the least time between two tries to make a file after one has failed.
const retryEvery = 100 * time.Millisecond

func newProcess(w *Writer) *process {
	p := &process{
		w:     w,
		mark:  newForkMark(),
		head:  header{identity: self()},
		plain: w.settings.plain,
		owed:  newOwed(),
		wake:  make(chan struct{}, 1),
		stop:  make(chan struct{}),
	}
	p.tidied = sync.NewCond(&p.mu)
	_, _ = rand.Read(p.head.writer[:]) // never fails
	return p
}

// open makes the first file, so that a folder that cannot be used is known at once.
func (p *process) open() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.advance(0)
}

// putStart writes the start of a span whose ids have that hash. It tells whether d was kept.
func (p *process) putStart(hash uint64, d *draft) (kept bool) {
	p.mu.Lock()
	at, err := p.putRead(d.b, d.from)
	if err == nil {
		p.stats.Started++
		kept = p.start(hash, at, d)
	}
	p.unlockAfter(err)
	return kept
}

// putEnd writes the end of a span.
func (p *process) putEnd(hash uint64, d *draft, span sdktrace.ReadOnlySpan) error {
	p.mu.Lock()
	if len(d.rest) > 0 && !(p.holds(d) && p.cur.fits(len(d.rest))) {
		d.makeWhole()
	}
	at, err := p.putRead(d.record(), d.from)
	if err == nil {
		p.stats.Ended++
	}
	p.end(hash, d.at, at, span)
	p.unlockAfter(err)
	return err
}

// unlockAfter unlocks p after a record was written, or lost because of err, and sees to it that there is room for the next.
func (p *process) unlockAfter(err error) {
	wake := false
	if err != nil {
		p.stats.Lost++
		p.lastErr = err
		wake = errors.Is(err, errFull) // a reader may have consumed some
	} else {
		// Half a segment is room enough while the background makes the next one; and most short programs never need it.
		wake = len(p.spares) == 0 && p.cur.used > p.cur.size/2 && p.mayPrepare() || len(p.retired) > 0
	}
	p.mu.Unlock()
	if wake {
		p.wakeUp()
	}
}

// putRead is put, for a reader if there has to be one.
func (p *process) putRead(rec []byte, at *spanContext) (where place, err error) {
	switch { // in both cases the reader's file is closed, or soon
	case p.stopping:
		return where, ErrNoReader
	case p.ended:
		return where, os.ErrClosed
	}
	stopped := p.w.reader.stopped()
	if !stopped {
		where, err = p.put(rec, at)
		stopped = p.w.reader.stopped() // asked again when the record is there: a reader that does not see it says so first
	}
	if !stopped {
		return where, err
	}
	p.stopping = true
	go p.close(false) // and leave the files: the reader may still be at it
	return where, ErrNoReader
}

// put finds room for a record and the context that it needs, and writes them.
func (p *process) put(rec []byte, at *spanContext) (place, error) {
	if p.ended {
		return place{}, os.ErrClosed
	}
	for p.cur == nil || !p.cur.fits(p.cur.needs(rec, at)) {
		err := p.advance(len(rec) + len(at.record))
		if errors.Is(err, errFull) && p.tidying > 0 {
			p.tidied.Wait() // there will be room
			err = nil
		}
		if err != nil {
			return place{}, err
		}
		if p.ended {
			return place{}, os.ErrClosed
		}
	}
	s := p.cur
	if !s.has(at) {
		if err := s.put(at.record); err != nil {
			return place{}, p.failed(s, err)
		}
		s.note(at)
	}
	where := place{segment: s, offset: s.used}
	if err := s.put(rec); err != nil {
		return place{}, p.failed(s, err)
	}
	return where, nil
}

// failed gives up a segment whose memory has failed, and mapping with it.
func (p *process) failed(s *segment, err error) error {
	if s.mem != nil {
		p.plain = true
		s.used = s.size
		p.retired = append(p.retired, p.spares...)
		p.spares = nil
	}
	return err
}

// needs is how many bytes rec takes, with its context.
func (s *segment) needs(rec []byte, at *spanContext) int {
	if s.has(at) {
		return len(rec)
	}
	return len(rec) + len(at.record)
}

func (s *segment) has(at *spanContext) bool {
	return int(at.number) < len(s.contexts) && s.contexts[at.number]
}

func (s *segment) note(at *spanContext) {
	for len(s.contexts) <= int(at.number) {
		s.contexts = append(s.contexts, false)
	}
	s.contexts[at.number] = true
}

// advance makes the next segment the current one; it has room for need bytes of records.
func (p *process) advance(need int) error {
	next := p.takeSpare(need)
	if next == nil {
		var err error
		if next, err = p.makeNow(need); err != nil {
			return err
		}
	}
	if err := next.writeHeader(p.sequence + 1); err != nil {
		p.size -= int64(next.size)
		next.discard()
		return err
	}
	before := p.cur
	p.sequence++
	p.cur = next
	if before != nil {
		before.seal()
		p.full = append(p.full, before)
		p.retire(before)
		p.carry(need)
	}
	return nil
}

// takeSpare takes a spare segment with room for need bytes of records out of those that there are; nil when there is none.
func (p *process) takeSpare(need int) *segment {
	last := len(p.spares) - 1
	if last < 0 || !p.spares[last].fits(need) { // they are of one size
		return nil
	}
	s := p.spares[last]
	p.spares = p.spares[:last]
	return s
}

// wanted is how many more spares there may be.
func (p *process) wanted() int {
	if p.ended {
		return 0
	}
	return mostSpares - len(p.spares)
}

// reusable is how many of those may have been used before. Mapped memory that has failed is not trusted again.
func (p *process) reusable() int {
	if p.plain {
		return 0
	}
	return p.wanted()
}

// makeNow makes a file while the caller waits.
func (p *process) makeNow(need int) (*segment, error) {
	if !p.tryAgain.IsZero() && time.Now().Before(p.tryAgain) {
		return nil, p.makeErr
	}
	if len(p.full) > 0 && p.full[0].consumed() { // the background may not have looked yet
		p.retireConsumed()
	}
	retired := p.retired
	p.retired = nil
	p.keep(recycle(retired, p.w.settings.segment, p.reusable()))
	if s := p.takeSpare(need); s != nil {
		return s, nil
	}
	size, number, err := p.reserve(need)
	if err != nil {
		return nil, err
	}
	s, err := p.create(number, size, p.plain)
	if err != nil {
		p.size -= int64(size)
		p.later(err)
		return nil, err
	}
	p.tryAgain = time.Time{}
	return s, nil
}

// create makes a file, unless nobody would find it any more.
func (p *process) create(number uint32, size int, plain bool) (*segment, error) {
	if p.w.reader.stopped() {
		return nil, ErrNoReader
	}
	s, err := createSegment(p.w.dir, p.head, number, size, plain)
	if err == nil && p.w.reader.stopped() {
		s.discard()
		return nil, ErrNoReader
	}
	return s, err
}

// later notes that a file could not be made.
func (p *process) later(err error) {
	p.makeErr = err
	p.tryAgain = time.Now().Add(retryEvery)
}

// mayPrepare tells whether a segment may be made beforehand: there is room for it, and none has failed lately.
func (p *process) mayPrepare() bool {
	return !p.ended && p.tryAgain.IsZero() && p.size+int64(p.w.settings.segment) <= p.w.settings.max
}

// reserve takes a file's size out of what the process may use, and a number for it.
func (p *process) reserve(need int) (size int, number uint32, err error) {
	size = p.w.settings.segment
	if p.files == 0 {
		size = min(size, firstSegment)
	}
	size = max(size, aligned(headerSize+need))
	if p.size+int64(size) > p.w.settings.max || need > mostSegment {
		return 0, 0, errFull
	}
	p.size += int64(size)
	p.files++
	return size, p.files, nil
}

// retire gives a full segment up, if nobody needs it any more.
func (p *process) retire(s *segment) {
	if s == p.cur || s.pins > 0 || !p.w.tracked.Load() {
		return
	}
	if i := slices.Index(p.full, s); i >= 0 {
		p.full = slices.Delete(p.full, i, i+1)
		p.retired = append(p.retired, s)
	}
}

// recycle makes spares of the segments that nobody needs, those of the given size and as many as are wanted, and removes the
// others.
func recycle(retired []*segment, size, wanted int) (spares []*segment, freed int64) {
	for _, s := range retired {
		if len(spares) < wanted && s.size == size && s.recycle() == nil {
			spares = append(spares, s)
			continue
		}
		freed += int64(s.size)
		s.discard()
	}
	return spares, freed
}

// keep takes what recycle has made.
func (p *process) keep(spares []*segment, freed int64) {
	p.size -= freed
	n := min(len(spares), p.wanted())
	p.spares = append(p.spares, spares[:n]...)
	for _, s := range spares[n:] {
		p.size -= int64(s.size)
		s.discard()
	}
}
