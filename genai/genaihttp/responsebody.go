package genaihttp

import (
	"io"
	"sync"

	"forkspan.dev/forkspan/genai"
)

// responseBody is the body of an answer that is observed.
type responseBody struct {
	src  io.ReadCloser
	c    *call
	left int64 // what is still to come, when the length is known; else negative

	mu      sync.Mutex // Close may be called while a Read waits
	pending piece
	ended   bool
}

// Read passes bytes on. What the last Read passed on is looked at first: it has gone its way meanwhile.
func (b *responseBody) Read(p []byte) (int, error) {
	b.settle()
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
	if err != nil {
		b.end(err)
	}
	return n, err
}

func (b *responseBody) settle() {
	if b.c.req == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		b.pending.flush(b.c.req)
	}
}

// Close closes the body. A client that closes it before its end has left.
func (b *responseBody) Close() error {
	err := b.src.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		var cause error
		if b.left != 0 {
			cause = genai.ErrClientGone
		}
		b.end(cause)
	}
	return err
}

// end ends the request; the lock is held.
func (b *responseBody) end(err error) {
	b.ended = true
	switch {
	case err == io.EOF:
		err = nil
	case err != nil:
		err = b.c.cause(err)
	}
	if b.c.req != nil {
		b.pending.flush(b.c.req)
	}
	b.pending.data = nil
	b.c.end(err)
}
