package genaihttp

import (
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"forkspan.dev/forkspan/genai"
)

// maxBody is how much of a request body is read ahead, and kept for the recorder.
const maxBody = genai.MaxRequestBody

// errBodyClosed is what a read after Close gets.
var errBodyClosed = errors.New("read request body: closed")

// body reads a request body ahead: at the first Read, up to maxBody bytes. What follows is streamed. Once the body has ended,
// by its length or by its end, the source is never read again.
type body struct {
	src    io.ReadCloser
	length int64 // of the whole body; -1: not known

	over   atomic.Bool // the body has ended
	filled atomic.Bool // ahead is complete
	ahead  []byte      // what was read ahead; not changed once filled

	mu     sync.Mutex // held while the source is read
	closed bool
	off    int   // of ahead, what was passed on
	left   int64 // what the source still owes, when the length is known
	end    error // of the source: io.EOF or an error; nil while there may be more
}

// reset makes b read from src.
func (b *body) reset(src io.ReadCloser, length int64) { b.src, b.length, b.left = src, length, length }

// Read passes on what was read ahead, then streams.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, errBodyClosed
	}
	b.fill()
	if b.off < len(b.ahead) {
		n := copy(p, b.ahead[b.off:])
		b.off += n
		if b.off == len(b.ahead) && b.end == io.EOF {
			return n, io.EOF
		}
		return n, nil
	}
	if b.end != nil || len(p) == 0 {
		return 0, b.end
	}
	n := b.take(p)
	return n, b.end
}

// fill reads ahead, once.
func (b *body) fill() {
	if b.filled.Load() {
		return
	}
	defer b.filled.Store(true)
	const step = 16 << 10 // a length that a client claims is not yet memory that it gets
	for b.end == nil && len(b.ahead) < maxBody {
		room := step
		if b.length >= 0 {
			room = min(room, int(b.left))
		}
		b.ahead = slices.Grow(b.ahead, max(1, min(room, maxBody-len(b.ahead))))
		n := b.take(b.ahead[len(b.ahead):min(cap(b.ahead), maxBody)])
		b.ahead = b.ahead[:len(b.ahead)+n]
	}
}

// take reads from the source, not past the body's length.
func (b *body) take(p []byte) int {
	if b.length >= 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	var n int
	var err error
	if b.length < 0 || b.left > 0 {
		n, err = b.src.Read(p)
	}
	b.left -= int64(n)
	switch {
	case b.length >= 0 && b.left == 0:
		err = io.EOF
	case b.length >= 0 && err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	b.end = err
	b.over.Store(err == io.EOF)
	return n
}

// Close closes the source. It waits for a Read that is under way, as the bodies of net/http do.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return b.src.Close()
}

// seen returns what is known of the body's begin; empty while it is still being read ahead. It does not wait.
func (b *body) seen() []byte {
	if !b.filled.Load() {
		return nil
	}
	return b.ahead
}
