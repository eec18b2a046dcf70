package receive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// OTLP/gRPC is served here on HTTP/2 frames. One message each way is all that it needs, and so a message goes from the frames
// into the room for requests at once: what a sender makes us hold is counted exactly, and a connection whose message finds no
// room is not read from. Sections are of RFC 9113.

const (
	window      = 1 << 20 // bytes that may be under way to us on a connection, and on a stream
	pingAfter   = time.Minute
	pongWithin  = 30 * time.Second
	smallBuffer = 1 << 10 // bytes, of a connection that has sent no message yet
	largeBuffer = 16 << 10
	leastWindow = 65535 // what HTTP/2 begins with
	mostWindow  = 1<<31 - 1
)

// http2Conn is a connection.
type http2Conn struct {
	server *Server
	conn   *conn
	framer *http2.Framer // reads from in and writes to out
	in     inbound
	ctx    context.Context
	cancel context.CancelFunc
	credit int // bytes read of the connection's window and not given back

	wmu sync.Mutex // guards out, and holds the order of frames
	out bytes.Buffer

	mu         sync.Mutex // guards what follows, and the calls' windows
	calls      map[uint32]*call
	last       uint32 // newest stream
	lastEnd    time.Time
	idle       *time.Timer
	stopping   bool
	sendWindow int64 // what the peer takes of data on the connection
	newWindow  int64 // what it takes on a new stream
	grown      chan struct{}
}

func (s *Server) serveHTTP2(c *conn) {
	h := &http2Conn{
		server: s, conn: c, calls: make(map[uint32]*call), lastEnd: time.Now(), sendWindow: leastWindow, newWindow: leastWindow,
	}
	h.ctx, h.cancel = context.WithCancel(withConn(context.Background(), c))
	h.in = inbound{conn: c, buf: make([]byte, smallBuffer), until: time.Now().Add(helloTimeout), ping: h.ping}
	h.framer = http2.NewFramer(&h.out, &h.in)
	h.framer.SetReuseFrames()
	h.framer.SetMaxReadFrameSize(16 << 10)
	h.framer.MaxHeaderListSize = maxHeader
	h.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	defer h.close()
	if !s.http2.add(h) {
		return
	}
	defer s.http2.remove(h)
	h.mu.Lock() // checkIdle uses it
	h.idle = time.AfterFunc(idleTimeout, h.checkIdle)
	h.mu.Unlock()
	defer h.idle.Stop()
	err := h.serve()
	code := http2.ErrCodeProtocol
	switch e := http2.ConnectionError(0); {
	case errors.As(err, &e):
		code = http2.ErrCode(e)
	case errors.Is(err, http2.ErrFrameTooLarge):
		code = http2.ErrCodeFrameSize
	default:
		return // the connection is gone
	}
	h.write(func(f *http2.Framer) error { return f.WriteGoAway(0, code, nil) })
}

func (h *http2Conn) serve() error {
	hello := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(&h.in, hello); err != nil {
		return err
	}
	if string(hello) != http2.ClientPreface {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	h.write(func(f *http2.Framer) error {
		err := f.WriteSettings(
			http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: maxStreams},
			http2.Setting{ID: http2.SettingInitialWindowSize, Val: window},
			http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxHeader})
		return errors.Join(err, f.WriteWindowUpdate(0, window-leastWindow))
	})
	for first := true; ; first = false {
		f, err := h.framer.ReadFrame()
		if e := (http2.StreamError{}); errors.As(err, &e) {
			h.reset(e.StreamID, e.Code)
			continue
		}
		if err != nil {
			return err
		}
		if _, ok := f.(*http2.SettingsFrame); first && !ok {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
		h.in.until = time.Time{}
		if err := h.frame(f); err != nil {
			return err
		}
	}
}

func (h *http2Conn) frame(f http2.Frame) error {
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		return h.headers(f)
	case *http2.DataFrame:
		return h.data(f)
	case *http2.RSTStreamFrame:
		h.drop(f.StreamID)
	case *http2.SettingsFrame:
		return h.settings(f)
	case *http2.WindowUpdateFrame:
		return h.grow(f.StreamID, int64(f.Increment))
	case *http2.PingFrame:
		if !f.IsAck() {
			h.write(func(w *http2.Framer) error { return w.WritePing(true, f.Data) })
		}
	case *http2.PushPromiseFrame:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return nil
}

// settings takes over what the peer wants (section 6.5).
func (h *http2Conn) settings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	if size, ok := f.Value(http2.SettingInitialWindowSize); ok {
		if size > mostWindow {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		h.mu.Lock()
		for _, k := range h.calls {
			k.sendWindow += int64(size) - h.newWindow
		}
		h.newWindow = int64(size)
		h.wake()
		h.mu.Unlock()
	}
	h.write(func(w *http2.Framer) error { return w.WriteSettingsAck() })
	return nil
}

// grow enlarges what the peer takes, on the connection for stream 0.
func (h *http2Conn) grow(stream uint32, by int64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if stream == 0 {
		h.sendWindow += by
		if h.sendWindow > mostWindow {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
	} else if k := h.calls[stream]; k != nil {
		k.sendWindow = min(k.sendWindow+by, mostWindow)
	}
	h.wake()
	return nil
}

func (h *http2Conn) wake() {
	if h.grown != nil {
		close(h.grown)
		h.grown = nil
	}
}

// takeWindow waits until the peer takes n more bytes of a call's answer.
func (h *http2Conn) takeWindow(k *call, n int64) bool {
	for {
		h.mu.Lock()
		if h.sendWindow >= n && k.sendWindow >= n {
			h.sendWindow -= n
			k.sendWindow -= n
			h.mu.Unlock()
			return true
		}
		if h.grown == nil {
			h.grown = make(chan struct{})
		}
		grown := h.grown
		h.mu.Unlock()
		select {
		case <-grown:
		case <-k.ctx.Done():
			return false
		}
	}
}

// data takes a piece of a message in, and gives the peer its window back. What is sent beyond a window is not refused: it is
// not read before there is room for it.
func (h *http2Conn) data(f *http2.DataFrame) error {
	n := int(f.Header().Length)
	if h.credit += n; h.credit >= window/2 {
		credit := uint32(h.credit)
		h.credit = 0
		h.write(func(w *http2.Framer) error { return w.WriteWindowUpdate(0, credit) })
	}
	h.mu.Lock()
	k, last := h.calls[f.StreamID], h.last
	h.mu.Unlock()
	if k == nil || k.ended {
		if f.StreamID > last {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
		return nil // we have refused it
	}
	h.in.enlarge()
	if no := k.append(f.Data()); no != nil {
		k.ended = f.StreamEnded()
		h.abort(k, no)
		return nil
	}
	if f.StreamEnded() {
		h.end(k)
		return nil
	}
	if k.credit += n; k.credit >= window/2 {
		credit := uint32(k.credit)
		k.credit = 0
		h.write(func(w *http2.Framer) error { return w.WriteWindowUpdate(f.StreamID, credit) })
	}
	return nil
}

// write sends the frames that fn writes. A peer that does not read them is given up.
func (h *http2Conn) write(fn func(*http2.Framer) error) {
	h.wmu.Lock()
	defer h.wmu.Unlock()
	h.out.Reset()
	err := fn(h.framer)
	if err == nil {
		_ = h.conn.SetWriteDeadline(time.Now().Add(helloTimeout))
		_, err = h.conn.Write(h.out.Bytes())
	}
	if err != nil {
		h.conn.Close()
	}
}

func (h *http2Conn) ping() {
	h.write(func(f *http2.Framer) error { return f.WritePing(false, [8]byte{}) })
}

// reset ends a stream that the peer has broken.
func (h *http2Conn) reset(stream uint32, code http2.ErrCode) {
	h.write(func(f *http2.Framer) error { return f.WriteRSTStream(stream, code) })
	h.drop(stream)
}

// checkIdle ends a connection on which nothing has been asked for long.
func (h *http2Conn) checkIdle() {
	h.mu.Lock()
	rest := idleTimeout
	if len(h.calls) == 0 {
		rest = idleTimeout - time.Since(h.lastEnd)
	}
	if rest > 0 && h.ctx.Err() == nil {
		h.idle.Reset(rest)
	}
	h.mu.Unlock()
	if rest <= 0 {
		h.stop()
	}
}

// stop takes no new calls, and closes the connection when there are none.
func (h *http2Conn) stop() {
	h.mu.Lock()
	h.stopping = true
	last, idle := h.last, len(h.calls) == 0
	h.mu.Unlock()
	h.write(func(f *http2.Framer) error { return f.WriteGoAway(last, http2.ErrCodeNo, nil) })
	if idle {
		h.conn.Close()
	}
}

// close drops what is left of the calls. Those that are being stored end by themselves.
func (h *http2Conn) close() {
	h.cancel()
	h.conn.Close()
	h.mu.Lock()
	var left []*call
	for _, k := range h.calls {
		left = append(left, k)
	}
	h.mu.Unlock()
	for _, k := range left {
		h.abort(k, errFull)
	}
}

// inbound is what comes, buffered. It finds out whether a silent peer is still there.
type inbound struct {
	conn   net.Conn
	buf    []byte
	rest   []byte    // of buf, not yet read
	until  time.Time // the peer's first frame is due; zero after it
	ping   func()
	pinged bool
}

// Read implements [io.Reader].
func (b *inbound) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		if len(p) >= len(b.buf) {
			return b.fill(p)
		}
		n, err := b.fill(b.buf)
		if err != nil {
			return 0, err
		}
		b.rest = b.buf[:n]
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *inbound) fill(p []byte) (int, error) {
	for {
		deadline := b.until
		switch {
		case !deadline.IsZero():
		case b.pinged:
			deadline = time.Now().Add(pongWithin)
		default:
			deadline = time.Now().Add(pingAfter)
		}
		_ = b.conn.SetReadDeadline(deadline)
		n, err := b.conn.Read(p)
		if n > 0 {
			b.pinged = false
			return n, nil
		}
		if err == nil || b.pinged || !b.until.IsZero() || !errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, err
		}
		b.pinged = true
		b.ping()
	}
}

// enlarge makes the buffer large enough for the frames of messages.
func (b *inbound) enlarge() {
	if len(b.buf) == largeBuffer {
		return
	}
	buf := make([]byte, largeBuffer)
	b.rest = buf[:copy(buf, b.rest)]
	b.buf = buf
}

// http2Conns are the open connections of a server.
type http2Conns struct {
	mu    sync.Mutex
	conns map[*http2Conn]struct{}
	none  chan struct{} // closed when there are none left; nil until stop
}

// add reports whether the server still serves.
func (c *http2Conns) add(h *http2Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.none != nil {
		return false
	}
	if c.conns == nil {
		c.conns = make(map[*http2Conn]struct{})
	}
	c.conns[h] = struct{}{}
	return true
}

func (c *http2Conns) remove(h *http2Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, h)
	if c.none != nil && len(c.conns) == 0 {
		close(c.none)
	}
}

func (c *http2Conns) all() []*http2Conn {
	var all []*http2Conn
	for h := range c.conns {
		all = append(all, h)
	}
	return all
}

// stop takes no new connections and calls; the channel is closed when those under way are done.
func (c *http2Conns) stop() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.none != nil {
		return c.none
	}
	c.none = make(chan struct{})
	if len(c.conns) == 0 {
		close(c.none)
	}
	for _, h := range c.all() {
		go h.stop()
	}
	return c.none
}

// cut closes all connections.
func (c *http2Conns) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.all() {
		h.conn.Close()
	}
}
