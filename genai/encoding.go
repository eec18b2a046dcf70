package genai

import (
	"compress/gzip"
	"io"
	"strings"
	"sync"
)

func openGzip(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }

// maxDecoded bounds what is decoded of one answer, in bytes, against bombs.
const maxDecoded = 1 << 30

// decoding runs a Decoder, which pulls, on chunks, which are pushed. A goroutine reads from the decoder; write returns when
// the decoder asks for more than it was given, so what a chunk holds is seen before the next chunk comes.
type decoding struct {
	wake    sync.Cond // on any change below
	mu      sync.Mutex
	in      []byte // handed over by write, owned by its caller
	hungry  bool   // the decoder waits for bytes
	closed  bool   // no more bytes will come
	stopped bool   // the decoder has ended
	failed  bool   // it ended with something else than a clean end
}

// newDecoding starts the goroutine, which ends after close. out is called by it.
func newDecoding(open Decoder, out func(p []byte)) *decoding {
	d := &decoding{}
	d.wake.L = &d.mu
	go d.run(open, out)
	return d
}

func (d *decoding) run(open Decoder, out func(p []byte)) {
	err := error(nil)
	defer func() {
		broken := recover() != nil // a foreign decoder must not take the program down
		d.mu.Lock()
		defer d.mu.Unlock()
		d.stopped = true
		d.failed = broken || err != io.EOF
		d.in = nil
		d.wake.Broadcast()
	}()
	var r io.Reader
	if r, err = open(d); err != nil {
		return
	}
	if c, ok := r.(io.Closer); ok {
		defer c.Close()
	}
	buf := make([]byte, 16<<10)
	for total, n := 0, 0; err == nil && total < maxDecoded; total += n {
		n, err = r.Read(buf)
		out(buf[:n])
	}
}

// Read gives the decoder the bytes of the answer.
func (d *decoding) Read(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.in) == 0 && !d.closed {
		d.hungry = true
		d.wake.Broadcast()
		d.wake.Wait()
	}
	d.hungry = false
	if len(d.in) == 0 {
		return 0, io.EOF // decoders make it unexpected where it is
	}
	n := copy(p, d.in)
	d.in = d.in[n:]
	return n, nil
}

func (d *decoding) write(p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(p) == 0 || d.closed {
		return
	}
	for !d.hungry && !d.stopped {
		d.wake.Wait()
	}
	if d.stopped {
		return
	}
	d.in, d.hungry = p, false
	d.wake.Broadcast()
	for !d.stopped && !(d.hungry && len(d.in) == 0) {
		d.wake.Wait()
	}
	d.in = nil
}

// close ends the decoder, waits for it, and reports whether the answer's coding was whole.
func (d *decoding) close() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.wake.Broadcast()
	for !d.stopped {
		d.wake.Wait()
	}
	return !d.failed
}

// decoder returns the decoder for a Content-Encoding; known is false for one that cannot be read. A nil decoder means that
// nothing needs decoding.
func (rec *Recorder) decoder(encoding string) (open Decoder, known bool) {
	encoding = strings.ToLower(strings.TrimSpace(encoding))
	if encoding == "" || encoding == "identity" {
		return nil, true
	}
	open, known = rec.decoders[encoding]
	return open, known
}
