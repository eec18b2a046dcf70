package receive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/klauspost/compress/gzip"
	"google.golang.org/grpc/codes"
)

// message is a request's bytes on loan from messages, and the room they take.
type message struct {
	arrival
	room *room
	body []byte
}

var messages = sync.Pool{New: func() any { return &message{} }}

// keepBytes is the largest buffer that is kept for the next request.
const keepBytes = 2 << 20

// firstBytes is what a buffer is made for at first, however much the sender announces.
const firstBytes = 64 << 10

// newMessage returns a message that is about to be read from a connection; evict ends the reading when its room is needed for
// others.
func (s *Server) newMessage(c *conn, evict func()) *message {
	m := messages.Get().(*message)
	m.arrival, m.room, m.body = arrival{evict: evict, proven: c.proven.Load()}, &s.room, m.body[:0]
	s.room.enter(&m.arrival)
	return m
}

// release gives the message back. Its body must not be used any more.
func (m *message) release() {
	m.room.leave(&m.arrival)
	m.evict = nil
	if cap(m.body) <= keepBytes {
		messages.Put(m)
	}
}

// errOverLimit is read's error for a body of more than maxRequest.
var errOverLimit = errors.New("too large")

// read reads r to its end into the message. size is what is known of its length; -1 for nothing.
func (m *message) read(ctx context.Context, r io.Reader, size int) error {
	most := maxRequest
	if size >= 0 {
		most = min(size, maxRequest)
	}
	most++ // to see the end
	if err := m.room.take(ctx, &m.arrival, cap(m.body)); err != nil {
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
	if len(m.body) == 0 && m.held == 0 {
		if err := m.room.take(ctx, &m.arrival, cap(m.body)); err != nil {
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

// nextSize is what a buffer grows to on its way to most bytes: twice its size, and from a quarter of the largest request on to
// most at once, since for a while the old one is held, too.
func nextSize(size, most int) int {
	const quarter = maxRequest / 4
	next := max(2*size, firstBytes)
	switch {
	case size >= quarter, next+1 >= most:
		return most
	case next > quarter:
		return min(quarter, most)
	}
	return next
}

// grow makes the buffer larger.
func (m *message) grow(ctx context.Context, size int) error {
	old := cap(m.body)
	if err := m.room.take(ctx, &m.arrival, size); err != nil {
		return err
	}
	m.body = append(make([]byte, 0, size), m.body...)
	m.room.give(&m.arrival, old+size-cap(m.body))
	return nil
}

// unzip reads a gzip stream to its end into the message.
func (m *message) unzip(ctx context.Context, r io.Reader) error {
	if err := m.room.take(ctx, &m.arrival, unzipBytes); err != nil {
		return err
	}
	z := unzippers.Get().(*gzip.Reader)
	defer unzippers.Put(z)
	if err := z.Reset(r); err != nil {
		return err
	}
	return m.read(ctx, z, -1)
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
