package store

import (
	"context"
	"database/sql/driver"
	"fmt"
	"iter"
	"runtime"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"forkspan.dev/forkspan/internal/otlp"
)

// Request is one stored OTLP request.
type Request struct {
	ID       int64 // grows with arrival
	Run      string
	Received time.Time
	Body     []byte // protobuf of an ExportTraceServiceRequest
}

// maxBody bounds what a compressed request may grow to, which guards against a damaged file. The receiver lets in half of it.
const maxBody = 128 << 20

var encoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)),
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
})

var decoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxBody))
	if err != nil {
		panic(err) // the options are constants
	}
	return d
})

// job is one request on its way into the database.
type job struct {
	run      string
	received int64 // Unix nanoseconds
	summary  []byte
	body     []byte // compressed
	done     bool   // with err; guarded by Store.writeMu
	err      error
}

// release keeps the job's buffers for the next one, unless they are large.
func (j *job) release() {
	if cap(j.body) <= 1<<20 {
		jobs.Put(j)
	}
}

var jobs = sync.Pool{New: func() any { return &job{} }}

// Append stores one scanned request under a run ("" for none) and returns when it is committed. Callers that wait at the same
// time share one transaction. The body is not kept. With Options.Redact it is stored without secrets.
func (s *Store) Append(ctx context.Context, run string, body []byte, sum otlp.Summary) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store request: %w", err)
	}
	if s.opts.Redact {
		body, sum = otlp.Redact(body, sum)
	}
	j := jobs.Get().(*job)
	defer j.release()
	*j = job{
		run:      run,
		received: time.Now().UnixNano(),
		summary:  appendSummary(j.summary[:0], &sum),
		body:     encoder().EncodeAll(body, j.body[:0]),
	}
	s.queueMu.Lock()
	s.queue = append(s.queue, j)
	s.queueMu.Unlock()

	// Whoever gets the connection first writes for all who have queued by then.
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if !j.done {
		s.commit()
	}
	if j.err != nil {
		return explain("store request", j.err)
	}
	return nil
}

// commit writes the queue in one transaction. The caller holds writeMu.
func (s *Store) commit() {
	s.queueMu.Lock()
	queue := s.queue
	s.queue = nil
	s.queueMu.Unlock()
	var last int64
	err := errClosed
	if s.write != nil {
		err = s.seen(s.write.transaction(func() (err error) {
			const query = "INSERT INTO request (run, received, summary, body) VALUES (?, ?, ?, ?)"
			for _, j := range queue {
				if _, last, err = s.write.exec(query, j.run, j.received, j.summary, j.body); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	for _, j := range queue {
		j.done, j.err = true, err
	}
	if err == nil {
		s.commits++
		for _, j := range queue {
			s.unlooked += int64(len(j.body) + len(j.summary))
		}
		s.wakeBehind(last)
	}
}

// pageRows and pageBytes bound how much of a long answer is read at once. No read transaction stays open between pages: it
// would keep the journal from being emptied.
const (
	pageRows  = 64
	pageBytes = 4 << 20
)

// Requests yields the requests of a run in order of arrival. Requests that arrive meanwhile may be among them.
func (s *Store) Requests(ctx context.Context, run string) iter.Seq2[Request, error] {
	const query = "SELECT id, run, received, body FROM request WHERE run = ? AND id > ? ORDER BY id LIMIT ?"
	return func(yield func(Request, error) bool) {
		var after int64
		for {
			if err := ctx.Err(); err != nil {
				yield(Request{}, fmt.Errorf("read requests: %w", err))
				return
			}
			page, err := s.requests(query, run, after, int64(pageRows))
			if err != nil {
				yield(Request{}, explain("read requests", err))
				return
			}
			for _, r := range page {
				if !yield(r, nil) {
					return
				}
				after = r.ID
			}
			if len(page) == 0 {
				return
			}
		}
	}
}

// RequestsAfter returns the requests of a run that follow the one with id after, in order of arrival: as many as have about
// 4 MiB, none when there are no more.
func (s *Store) RequestsAfter(ctx context.Context, run string, after int64) ([]Request, error) {
	const query = "SELECT id, run, received, body FROM request WHERE run = ? AND id > ? ORDER BY id LIMIT ?"
	return s.page(ctx, query, run, after, int64(pageRows))
}

// page is requests for callers outside.
func (s *Store) page(ctx context.Context, query string, args ...any) ([]Request, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read requests: %w", err)
	}
	page, err := s.requests(query, args...)
	if err != nil {
		return nil, explain("read requests", err)
	}
	return page, nil
}

// requests returns the rows of a query for id, run, received and body, up to pageBytes of bodies.
func (s *Store) requests(query string, args ...any) (page []Request, err error) {
	size := 0
	err = s.read(func(c *conn) error {
		return c.query(query, func(columns []driver.Value) error {
			r, err := scanRequest(columns)
			if err != nil {
				return err
			}
			page = append(page, r)
			if size += len(r.Body); size >= pageBytes {
				return errStop
			}
			return nil
		}, args...)
	})
	return page, err
}

func scanRequest(v []driver.Value) (Request, error) {
	var r Request
	r.ID, _ = v[0].(int64)
	r.Run, _ = v[1].(string)
	received, _ := v[2].(int64)
	r.Received = time.Unix(0, received)
	compressed, _ := v[3].([]byte)
	body, err := decoder().DecodeAll(compressed, nil)
	if err != nil {
		return r, fmt.Errorf("read request %d: %w: %w", r.ID, errDamaged, err)
	}
	r.Body = body
	return r, nil
}
