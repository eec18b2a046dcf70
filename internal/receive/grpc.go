package receive

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
)

// The form of calls on the wire is that of https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
const (
	tracesMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
	otlpServices = "/opentelemetry.proto.collector."
	maxZipped    = 8 << 20 // bytes of a compressed message, which is held beside what becomes of it
	maxReason    = 1 << 10 // bytes of a status message
)

// call is one call: its message is read, then stored, then answered.
type call struct {
	conn     *http2Conn
	stream   uint32
	signal   string // "" for traces
	encoding string
	ctx      context.Context
	cancel   context.CancelFunc
	timer    *time.Timer

	sendWindow int64 // guarded by http2Conn.mu

	// Of the goroutine that reads the connection, until the call is handled:
	prefix [5]byte // whether the message is compressed, and its length
	got    int     // bytes of prefix
	size   int     // of the message
	credit int     // bytes of the window that have not been given back
	ended  bool    // the peer sends no more

	mu       sync.Mutex
	m        *message // nil once the call is over
	handling bool     // the message is whole
	dropped  bool     // the peer does not want the answer
}

// headers begins a call, or ends one that has trailers.
func (h *http2Conn) headers(f *http2.MetaHeadersFrame) error {
	id := f.StreamID
	h.mu.Lock()
	k, old, calls, stopping := h.calls[id], id <= h.last, len(h.calls), h.stopping
	h.last = max(h.last, id)
	h.mu.Unlock()
	switch {
	case k != nil && !f.StreamEnded(), id%2 == 0:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case k != nil:
		if !k.ended {
			h.end(k)
		}
		return nil
	case old, stopping:
		return nil // we have refused it, or it will be sent again elsewhere
	case calls >= maxStreams:
		h.write(func(w *http2.Framer) error { return w.WriteRSTStream(id, http2.ErrCodeRefusedStream) })
		return nil
	}
	var kind, authorization, encoding string
	for _, field := range f.RegularFields() {
		switch field.Name {
		case "content-type":
			kind = field.Value
		case "authorization":
			authorization = field.Value
		case "grpc-encoding":
			encoding = field.Value
		}
	}
	s, path := h.server, f.PseudoValue("path")
	var no *refusal
	status, signal := "200", ""
	switch {
	case f.Truncated:
		no = &refusal{codes.ResourceExhausted, fmt.Sprintf("the header is larger than %d KiB", maxHeader>>10)}
	case !isGRPC(kind):
		status, no = "415", &refusal{codes.InvalidArgument, fmt.Sprintf("content-type %q over HTTP/2 is not gRPC", kind)}
	default:
		if no = s.authorize(authorization); no == nil && path != tracesMethod {
			signal, no = s.otherMethod(path)
		}
	}
	if no != nil {
		h.refuse(id, status, no, f.StreamEnded())
		return nil
	}
	k = &call{conn: h, stream: id, signal: signal, encoding: encoding}
	k.ctx, k.cancel = context.WithCancel(h.ctx)
	k.m = s.newMessage(h.conn, func() { go h.abort(k, errSlow) })
	k.timer = time.AfterFunc(requestTimeout, func() { h.abort(k, errLate) })
	if signal == "" {
		s.requests.Add(1)
	}
	h.mu.Lock()
	k.sendWindow = h.newWindow
	h.calls[id] = k
	h.mu.Unlock()
	if f.StreamEnded() {
		h.end(k)
	}
	return nil
}

func isGRPC(contentType string) bool {
	kind, found := strings.CutPrefix(contentType, "application/grpc")
	return found && (kind == "" || kind[0] == '+' || kind[0] == ';')
}

// otherMethod is the signal of a call that is none of traces, or why it is refused.
func (s *Server) otherMethod(method string) (signal string, no *refusal) {
	service, isOTLP := strings.CutPrefix(method, otlpServices)
	signal, _, _ = strings.Cut(service, ".")
	no, known := noSignals[signal]
	if !isOTLP || !known {
		return "", &refusal{codes.Unimplemented, "forkspan takes OTLP traces only; it has no " + method}
	}
	s.others.Add(1)
	if s.options.PassOn == nil || !strings.HasSuffix(method, "/Export") {
		return "", no
	}
	return signal, nil
}

// append takes a piece of the message in, for which it may have to wait.
func (k *call) append(piece []byte) *refusal {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.m == nil {
		return nil // it has been given up
	}
	if k.got < len(k.prefix) {
		n := copy(k.prefix[k.got:], piece)
		k.got += n
		piece = piece[n:]
		if k.got == len(k.prefix) {
			if no := k.begin(); no != nil {
				return no
			}
		}
	}
	if len(piece) == 0 {
		return nil
	}
	if len(k.m.body)+len(piece) > k.size {
		return &refusal{codes.InvalidArgument, "the call has more than one message"}
	}
	if err := k.m.append(k.ctx, piece, k.size); err != nil {
		return explainRead(k.ctx, k.m, err)
	}
	return nil
}

// begin reads the prefix.
func (k *call) begin() *refusal {
	size := binary.BigEndian.Uint32(k.prefix[1:])
	switch zipped := k.prefix[0]; {
	case zipped > 1 || zipped == 1 && k.encoding != "gzip":
		return &refusal{codes.Unimplemented, fmt.Sprintf("grpc-encoding %q is not gzip", k.encoding)}
	case size > maxRequest || zipped == 1 && size > maxZipped:
		return errTooLarge
	}
	k.size = int(size)
	return nil
}

// end is called when the peer has sent all.
func (h *http2Conn) end(k *call) {
	k.ended = true
	k.mu.Lock()
	if k.m == nil {
		k.mu.Unlock()
		return
	}
	if k.got < len(k.prefix) || len(k.m.body) < k.size {
		k.mu.Unlock()
		h.abort(k, &refusal{codes.InvalidArgument, "the call has no whole message"})
		return
	}
	k.handling = true
	k.m.room.arrived(&k.m.arrival)
	k.mu.Unlock()
	go h.handle(k)
}

// handle stores the message and answers.
func (h *http2Conn) handle(k *call) {
	answer, no := h.server.handleCall(k)
	k.mu.Lock()
	k.m.release()
	k.m = nil
	dropped := k.dropped
	k.mu.Unlock()
	n := len(answer) + 5
	if no != nil && k.signal == "" {
		h.server.refused.Add(1)
	}
	switch {
	case dropped:
	case no != nil:
		h.refuse(k.stream, "200", no, true)
	case h.takeWindow(k, int64(n)):
		h.conn.proven.Store(true)
		h.answer(k.stream, answer)
	}
	h.remove(k)
}

func (s *Server) handleCall(k *call) (answer []byte, no *refusal) {
	m := k.m
	if k.prefix[0] == 1 {
		m = s.newMessage(k.conn.conn, func() {})
		m.proven, m.whole = true, true
		defer func() { m.release() }()
		if err := m.unzip(k.ctx, bytes.NewReader(k.m.body)); err != nil {
			return nil, explainRead(k.ctx, m, err)
		}
	}
	if k.signal != "" {
		return s.passOn(k.ctx, OtherRequest{Signal: k.signal, Body: m.body})
	}
	a, no := s.take(k.ctx, m.body)
	return a.protobuf(), no
}

// abort gives up a call that is still being read. One that is being stored is told that it has no more time.
func (h *http2Conn) abort(k *call, no *refusal) {
	k.cancel()
	k.mu.Lock()
	if k.handling || k.m == nil {
		k.mu.Unlock()
		return
	}
	k.m.release()
	k.m = nil
	dropped := k.dropped
	k.mu.Unlock()
	if k.signal == "" {
		h.server.refused.Add(1)
	}
	if !dropped && h.ctx.Err() == nil {
		h.refuse(k.stream, "200", no, false)
	}
	h.remove(k)
}

// drop ends a call whose answer nobody wants.
func (h *http2Conn) drop(stream uint32) {
	h.mu.Lock()
	k := h.calls[stream]
	h.mu.Unlock()
	if k == nil {
		return
	}
	k.cancel()
	k.mu.Lock()
	k.dropped = true
	k.mu.Unlock()
	h.abort(k, errFull)
}

func (h *http2Conn) remove(k *call) {
	k.cancel()
	k.timer.Stop()
	h.mu.Lock()
	delete(h.calls, k.stream)
	h.lastEnd = time.Now()
	over := h.stopping && len(h.calls) == 0
	h.mu.Unlock()
	if over {
		h.conn.Close()
	}
}

// block encodes header fields. Nothing is put into the table that both sides keep, so a block does not depend on others.
func block(namesAndValues ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(namesAndValues); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: namesAndValues[i], Value: namesAndValues[i+1], Sensitive: true}) // never fails
	}
	return b.Bytes()
}

const answerType = "application/grpc"

var (
	answerHead  = block(":status", "200", "content-type", answerType, "grpc-accept-encoding", "gzip")
	answerTrail = block("grpc-status", "0")
)

// answer sends a message and the status OK.
func (h *http2Conn) answer(stream uint32, message []byte) {
	b := make([]byte, 5, 5+len(message))
	binary.BigEndian.PutUint32(b[1:], uint32(len(message)))
	b = append(b, message...)
	h.write(func(f *http2.Framer) error {
		err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: answerHead, EndHeaders: true})
		for len(b) > 0 && err == nil {
			n := min(len(b), 16<<10) // which every peer takes
			err = f.WriteData(stream, false, b[:n])
			b = b[n:]
		}
		if err != nil {
			return err
		}
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: answerTrail, EndHeaders: true, EndStream: true})
	})
}

// refuse sends a status alone; the peer that has not ended its stream is told to stop sending.
func (h *http2Conn) refuse(stream uint32, httpStatus string, no *refusal, ended bool) {
	head := block(":status", httpStatus, "content-type", answerType, "grpc-accept-encoding", "gzip",
		"grpc-status", strconv.Itoa(int(no.code)), "grpc-message", escapeMessage(no.message))
	h.write(func(f *http2.Framer) error {
		err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head, EndHeaders: true, EndStream: true})
		if err != nil || ended {
			return err
		}
		return f.WriteRSTStream(stream, http2.ErrCodeNo)
	})
}

// escapeMessage writes a status message as gRPC wants it: percent-encoded where it is not printable ASCII.
func escapeMessage(message string) string {
	var b strings.Builder
	for i := range min(len(message), maxReason) {
		if c := message[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// protobuf is the answer as an ExportTraceServiceResponse.
func (a accepted) protobuf() []byte {
	if a.rejected == 0 {
		return []byte{}
	}
	var partial []byte
	partial = protowire.AppendTag(partial, 1, protowire.VarintType)
	partial = protowire.AppendVarint(partial, uint64(a.rejected))
	partial = protowire.AppendTag(partial, 2, protowire.BytesType)
	partial = protowire.AppendString(partial, a.message())
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), partial)
}
