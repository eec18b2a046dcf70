package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Sizes of a journal, in bytes.
const (
	// DefaultSegmentSize is the size of one file. The first is of 256 KiB at most.
	DefaultSegmentSize = 1 << 20
	// DefaultMaxSize is the most that the files of one process take together.
	DefaultMaxSize = 256 << 20

	leastSegment = 4 << 10
	firstSegment = 256 << 10 // at most, of a writer's first: it is made while the program waits, and many need no more
	mostSegment  = 64 << 20
)

// Option changes how a [Writer] keeps its journal.
type Option interface{ apply(*settings) }

type optionFunc func(*settings)

func (f optionFunc) apply(s *settings) { f(s) }

type settings struct {
	segment int
	max     int64
	plain   bool
	reader  bool // somebody has to read the folder
}

// WithSegmentSize sets the size of a file, in bytes: [DefaultSegmentSize] unless set, 4 KiB at least and 64 MiB at most. A
// span that does not fit gets a file of its own.
func WithSegmentSize(n int) Option {
	return optionFunc(func(s *settings) { s.segment = aligned(min(max(n, leastSegment), mostSegment)) })
}

// WithMaxSize sets the most bytes that the files of the process take together, [DefaultMaxSize] unless set. What does not fit
// is not journalled, and counted.
func WithMaxSize(n int64) Option { return optionFunc(func(s *settings) { s.max = n }) }

// WithPlainWrites writes by system calls instead of through mapped memory, as a Writer does by itself where mapping could be
// dangerous: file systems other than ext4, xfs, tmpfs, APFS and HFS+.
func WithPlainWrites() Option { return optionFunc(func(s *settings) { s.plain = true }) }

// Writer is a span processor that keeps a journal of all sampled spans. It never blocks on a reader or the network, and never
// fails: what it cannot write is counted in [Stats]. It is safe for concurrent use.
//
// In a forked child it goes on with a journal of the child's own.
type Writer struct {
	dir      string
	settings settings
	contexts contextTable
	reader   *readerMark // nil when nobody needs to read
	drafts   sync.Pool

	tracked atomic.Bool // some exporter tells what it has taken
	current atomic.Pointer[process]

	mu       sync.Mutex
	noMore   bool // Shutdown was called
	exported bool // the exporter has been shut down
	closed   sync.Once
}

// Create begins a journal in the folder dir, which it makes, with mode 0700, if need be. Files have mode 0600. The folder may
// be shared by any number of processes and Writers; none writes to another's files.
//
// Call [Writer.Shutdown] at the end.
func Create(dir string, opts ...Option) (*Writer, error) {
	w := &Writer{dir: dir, settings: settings{segment: DefaultSegmentSize, max: DefaultMaxSize}}
	for _, o := range opts {
		o.apply(&w.settings)
	}
	w.drafts.New = func() any { return &draft{b: make([]byte, 0, 1<<10)} }
	if err := w.openFolder(); err != nil {
		return nil, fmt.Errorf("create journal: %w", err)
	}
	p := newProcess(w)
	if err := p.open(); err != nil {
		p.close(true)
		w.reader.close()
		return nil, fmt.Errorf("create journal: %w", err)
	}
	w.current.Store(p)
	return w, nil
}

// openFolder makes the folder, or finds its reader.
func (w *Writer) openFolder() (err error) {
	if !w.settings.reader {
		return os.MkdirAll(w.dir, 0o700)
	}
	w.reader, err = openReader(w.dir, w.settings.plain)
	return err
}

// process returns the journal of this very process.
func (w *Writer) process() *process {
	p := w.current.Load()
	if !p.mark.forked() {
		return p
	}
	child := newProcess(w) // without its first file, so that there is nothing to remove when another thread was faster
	if w.current.CompareAndSwap(p, child) {
		return child
	}
	child.close(true)
	return w.current.Load()
}

// OnStart writes that s has started.
func (w *Writer) OnStart(_ context.Context, s sdktrace.ReadWriteSpan) {
	sc := s.SpanContext()
	if !sc.IsSampled() {
		return
	}
	d := w.newDraft()
	d.begin(s, &sc, w.contexts.find(s.Resource(), s.InstrumentationScope()))
	if !w.process().putStart(hashOf(sc.TraceID(), sc.SpanID()), d) {
		w.free(d)
	}
}

// OnEnd writes s.
func (w *Writer) OnEnd(s sdktrace.ReadOnlySpan) { _ = w.end(s) }

// Record writes s, which has ended, as OnEnd does, and says why it could not. A span that is not sampled is not written.
func (w *Writer) Record(s sdktrace.ReadOnlySpan) error {
	if err := w.end(s); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

func (w *Writer) end(s sdktrace.ReadOnlySpan) error {
	sc := s.SpanContext()
	if !sc.IsSampled() {
		return nil
	}
	p, hash := w.process(), hashOf(sc.TraceID(), sc.SpanID())
	d, refer := p.takeOpen(hash)
	if d == nil {
		d = w.newDraft()
	}
	d.end(s, &sc, &w.contexts, refer)
	err := p.putEnd(hash, d, s)
	w.free(d)
	return err
}

// ForceFlush does nothing: what was recorded is safe.
func (w *Writer) ForceFlush(context.Context) error { return nil }

// Shutdown ends the journal. With an exporter (see [Writer.Exporter]) it is kept until that has been shut down too, and then
// removed, unless there are spans that the exporter did not take or that have not ended; those are left for [Recover]. Without
// one, all is left.
func (w *Writer) Shutdown(context.Context) error {
	w.finish(func() { w.noMore = true })
	return nil
}

func (w *Writer) finish(note func()) {
	w.mu.Lock()
	note()
	over := w.noMore && (w.exported || !w.tracked.Load())
	w.mu.Unlock()
	if p := w.current.Load(); over && !p.mark.forked() {
		p.close(false)
		w.closed.Do(w.reader.close) // nobody asks any more
	}
}

// Stats is the account of a journal.
type Stats struct {
	Started uint64 // spans whose start was written
	Ended   uint64 // spans that were written whole
	Lost    uint64 // records that were not: no room on the disk or below [WithMaxSize], or after Shutdown
	Size    int64  // bytes that the files take
}

// Stats returns the account so far of this process.
func (w *Writer) Stats() Stats {
	p := w.process()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Size = p.size
	return s
}

// Err returns why the last record that was lost could not be written, nil when none was.
func (w *Writer) Err() error {
	p := w.process()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lastErr
}

var errFull = errors.New("journal is full")
