package receive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"google.golang.org/grpc/codes"
)

// message is a request's bytes and the room they take.
type message struct {
	arrival
	room *room
	body []byte
}

// newMessage returns a message that is about to be read from a connection; evict ends the reading when its room is needed for
// others.
func (s *Server) newMessage(c *conn, evict func()) *message {
	m := &message{room: &s.room}
	m.evict = func() {
		c.proven.Store(false)
		evict()
	}
	m.begun, m.proven = time.Now(), c.proven.Load()
	return m
}

// release gives back what the message holds. Its body must not be used any more.
func (m *message) release() {
	m.room.keep(m.body)
	m.body = nil
	m.room.leave(&m.arrival)
}

// errOverLimit is read's error for a body of more than maxRequest.
var errOverLimit = errors.New("too large")

// begin takes room for a message of size bytes, -1 for an unknown size, and for extra bytes.
func (m *message) begin(ctx context.Context, size, extra int) error {
	n := firstSize(size)
	m.little = !m.whole && size < littleBytes
	if err := m.room.take(ctx, &m.arrival, n+extra); err != nil {
		return err
	}
	m.body = m.room.buffer(n)
	return nil
}

// read reads r to its end into the message. size is what is known of its length, -1 for nothing; extra is the memory that r
// takes.
func (m *message) read(ctx context.Context, r io.Reader, size, extra int) error {
	most := maxRequest
	if size >= 0 {
		most = min(size, maxRequest)
	}
	most++ // to see the end
	if err := m.begin(ctx, size, extra); err != nil {
		return err
	}
	for {
		if len(m.body) == cap(m.body) {
			if err := m.grow(ctx, nextSize(cap(m.body), most)); err != nil {
				return err
			}
		}
		n, err := r.Read(m.body[len(m.body):cap(m.body)])
		m.body = m.body[:len(m.body)+n]
		m.received.Add(int64(n))
		switch {
		case len(m.body) > maxRequest:
			return errOverLimit
		case err == io.EOF:
			m.room.arrived(&m.arrival)
			return nil
		case err != nil:
			return err
		}
	}
}

// append adds a piece of a message of size bytes.
func (m *message) append(ctx context.Context, piece []byte, size int) error {
	if cap(m.body) == 0 {
		if err := m.begin(ctx, size, 0); err != nil {
			return err
		}
	}
	for cap(m.body)-len(m.body) < len(piece) {
		if err := m.grow(ctx, nextSize(cap(m.body), size)); err != nil {
			return err
		}
	}
	m.body = append(m.body, piece...)
	m.received.Add(int64(len(piece)))
	return nil
}

// firstSize is what the buffer of a message is made for at first: of a small one for all of it, of a large one for little,
// however much the sender announces.
func firstSize(size int) int {
	if littleBytes <= size && size < smallBytes {
		return size + 1 // to see the end
	}
	return littleBytes
}

// nextSize is what a buffer grows to on its way to most bytes: twice its size, and from smallBytes on to most at once, since for
// a while the old one is held, too.
func nextSize(size, most int) int {
	next := 2 * size
	switch {
	case size >= smallBytes, next+1 >= most:
		return most
	case next > smallBytes:
		return min(smallBytes, most)
	}
	return next
}

// grow makes the buffer larger.
func (m *message) grow(ctx context.Context, size int) error {
	old := m.body
	if err := m.room.take(ctx, &m.arrival, size); err != nil {
		return err
	}
	if size > smallBytes {
		runtime.GC() // or what large ones before it held may still be there
	}
	m.body = append(make([]byte, 0, size), old...)
	m.room.keep(old)
	m.room.give(&m.arrival, cap(old))
	return nil
}

// unzip reads a gzip stream to its end into the message.
func (m *message) unzip(ctx context.Context, r io.Reader) error {
	z := &unzipping{from: r}
	defer z.close()
	return m.read(ctx, z, -1, unzipBytes)
}

// unzipping is a gzip stream that is decompressed with what it needs for that from the first Read on.
type unzipping struct {
	from io.Reader
	z    *gzip.Reader
}

// Read implements [io.Reader].
func (u *unzipping) Read(p []byte) (int, error) {
	if u.z == nil {
		u.z = unzippers.Get().(*gzip.Reader)
		if err := u.z.Reset(u.from); err != nil {
			return 0, err
		}
	}
	return u.z.Read(p)
}

func (u *unzipping) close() {
	if u.z != nil {
		unzippers.Put(u.z)
	}
}

var unzippers = sync.Pool{New: func() any { return &gzip.Reader{} }}

// explainRead says to a sender why its request could not be read.
func explainRead(ctx context.Context, m *message, err error) *refusal {
	m.room.mu.Lock()
	evicted := m.evicted
	m.room.mu.Unlock()
	switch {
	case evicted:
		return errSlow
	case ctx.Err() != nil:
		return errFull
	case errors.Is(err, errOverLimit):
		return errTooLarge
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return errTooLarge
	}
	return &refusal{codes.InvalidArgument, fmt.Sprintf("read request: %v", err)}
}
