package genaihttp

import (
	"io"
	"net/http"
	"sync"

	"forkspan.dev/forkspan/genai"
)

// responseBody is the body of an answer that is observed.
type responseBody struct {
	src  io.ReadCloser
	c    *call
	left int64 // what is still to come, when the length is known; else negative

	mu      sync.Mutex // Close may be called while a Read waits
	pending pieces
	last    error // came with the last bytes, and is due at the next Read
	ended   bool
}

// Read passes bytes on. What earlier Reads passed on is looked at first: it has gone its way meanwhile. So has the end: it never
// comes along with bytes.
func (b *responseBody) Read(p []byte) (int, error) {
	if err := b.settle(); err != nil {
		return 0, err
	}
	n, err := b.src.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return n, err
	}
	if b.left > 0 {
		b.left -= int64(n)
	}
	if n > 0 && b.c.req != nil {
		b.pending.put(b.c.req, p[:n], b.c.t.now())
	}
	switch {
	case err == nil:
	case n > 0:
		b.last = err
		return n, nil
	default:
		b.end(err)
	}
	return n, err
}

// settle looks at what has been passed on, when it is due, and returns the error that came with it.
func (b *responseBody) settle() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.ended:
	case b.last != nil:
		b.end(b.last)
	case b.c.req != nil:
		b.pending.settle(b.c.req)
	}
	return b.last
}

// Close closes the body. A client that closes it before its end has left.
func (b *responseBody) Close() error {
	err := b.src.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return err
	}
	cause := b.last
	if cause == nil && b.left != 0 {
		cause = genai.ErrClientGone
	}
	b.end(cause)
	return err
}

// end ends the request; the lock is held.
func (b *responseBody) end(err error) {
	b.ended = true
	switch {
	case err == io.EOF, b.c.status == http.StatusSwitchingProtocols: // either side may end an upgraded connection
		err = nil
	case err != nil:
		err = b.c.cause(err)
	}
	if b.c.req != nil {
		b.pending.flush(b.c.req)
	}
	b.pending = pieces{}
	b.c.end(err)
}
