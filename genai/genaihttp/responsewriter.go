package genaihttp

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
)

// writer is the http.ResponseWriter of a request that is observed. Handlers get it through expose, which shows what the
// writer underneath can do besides.
type writer struct {
	http.ResponseWriter
	x       *exchange
	status  int   // 0 until the header is written
	written int64 // bytes of the body
	err     error // of the first write that failed: the client is gone
}

var (
	_ io.StringWriter                           = (*writer)(nil)
	_ interface{ FlushError() error }           = (*writer)(nil)
	_ interface{ Unwrap() http.ResponseWriter } = (*writer)(nil)
)

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader passes the status on. Informational ones do not count as the answer's.
func (w *writer) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.begin(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

// begin notes that the answer begins.
func (w *writer) begin(status int) {
	if w.status == 0 {
		w.status = status
		w.x.answer(status, w.Header())
		if w.x.duplex && !w.x.body.over.Load() {
			w.Header().Set("Connection", "close") // net/http says so by itself only where it is not in full duplex
		}
	}
}

// Write passes p on, and then looks at it.
func (w *writer) Write(p []byte) (int, error) {
	w.begin(http.StatusOK)
	at := w.x.before()
	n, err := w.ResponseWriter.Write(p)
	w.after(n, err)
	w.x.chunk(p[:n], at)
	return n, err
}

// WriteString is Write without a copy where nobody looks at the bytes.
func (w *writer) WriteString(s string) (int, error) {
	if w.x.observes() {
		return w.Write([]byte(s))
	}
	w.begin(http.StatusOK)
	if w.x.observes() {
		return w.Write([]byte(s))
	}
	n, err := io.WriteString(w.ResponseWriter, s)
	w.after(n, err)
	return n, err
}

func (w *writer) after(n int, err error) {
	w.written += int64(n)
	if err != nil && w.err == nil {
		w.err = err
	}
}

// FlushError flushes, and then looks at what went out.
func (w *writer) FlushError() error {
	w.begin(http.StatusOK)
	var err error
	switch f := w.ResponseWriter.(type) {
	case interface{ FlushError() error }:
		err = f.FlushError()
	case http.Flusher:
		f.Flush()
	default:
		err = http.NewResponseController(w.ResponseWriter).Flush()
	}
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		w.after(0, err)
	}
	w.x.settle()
	return err
}

// The parts that expose puts together.
type (
	flusher  struct{ w *writer }
	hijacker struct{ w *writer }
	readFrom struct{ w *writer }
	pusher   struct{ w *writer }
)

// Flush flushes what was written.
func (f flusher) Flush() { _ = f.w.FlushError() }

// Hijack hands the connection over; what passes on it is not looked at.
func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h.w.begin(http.StatusSwitchingProtocols)
	return h.w.ResponseWriter.(http.Hijacker).Hijack()
}

// ReadFrom lets the writer underneath copy, with sendfile for a file, unless the bytes have to be looked at.
func (f readFrom) ReadFrom(src io.Reader) (int64, error) {
	f.w.begin(http.StatusOK)
	if f.w.x.observes() {
		return io.Copy(struct{ io.Writer }{f.w}, src)
	}
	n, err := f.w.ResponseWriter.(io.ReaderFrom).ReadFrom(src)
	f.w.written += n
	return n, err
}

// Push starts an HTTP/2 server push.
func (p pusher) Push(target string, opts *http.PushOptions) error {
	return p.w.ResponseWriter.(http.Pusher).Push(target, opts)
}

// expose returns w with those optional interfaces that the writer underneath has, since handlers ask for them by type.
func (w *writer) expose() http.ResponseWriter {
	_, canFlush := w.ResponseWriter.(http.Flusher)
	_, canHijack := w.ResponseWriter.(http.Hijacker)
	_, canReadFrom := w.ResponseWriter.(io.ReaderFrom)
	_, canPush := w.ResponseWriter.(http.Pusher)
	f, h, r, p := flusher{w}, hijacker{w}, readFrom{w}, pusher{w}
	switch {
	case canFlush && canHijack && canReadFrom: // HTTP/1 of net/http
		return struct {
			*writer
			flusher
			hijacker
			readFrom
		}{w, f, h, r}
	case canFlush && canPush: // HTTP/2 of net/http
		return struct {
			*writer
			flusher
			pusher
		}{w, f, p}
	case canFlush && canHijack:
		return struct {
			*writer
			flusher
			hijacker
		}{w, f, h}
	case canFlush && canReadFrom:
		return struct {
			*writer
			flusher
			readFrom
		}{w, f, r}
	case canFlush:
		return struct {
			*writer
			flusher
		}{w, f}
	case canHijack:
		return struct {
			*writer
			hijacker
		}{w, h}
	}
	return w
}
