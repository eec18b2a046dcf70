package receive

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
)

// gRPC is spoken here on net/http: one message each way is all that OTLP needs of it, and so a message's size is known before any
// of it is read, and what has not been read holds no more memory than the connection's window. The wire format is that of
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
const (
	tracesMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
	otlpServices = "/opentelemetry.proto.collector."
)

func isGRPC(r *http.Request) bool {
	kind, found := strings.CutPrefix(r.Header.Get("Content-Type"), "application/grpc")
	return found && r.ProtoMajor == 2 && (kind == "" || kind[0] == '+' || kind[0] == ';')
}

// serveGRPC handles one call.
func (s *Server) serveGRPC(w http.ResponseWriter, r *http.Request) {
	if no := s.authorize(r); no != nil {
		refuseGRPC(w, no)
		return
	}
	if r.URL.Path != tracesMethod {
		s.otherGRPC(w, r)
		return
	}
	s.requests.Add(1)
	var a accepted
	no := s.withMessage(w, r, func(m *message) (no *refusal) {
		a, no = s.take(r.Context(), m.body)
		return no
	})
	if no != nil {
		s.refused.Add(1)
		refuseGRPC(w, no)
		return
	}
	answerGRPC(w, a.protobuf())
}

// otherGRPC handles calls of other services and methods.
func (s *Server) otherGRPC(w http.ResponseWriter, r *http.Request) {
	method := r.URL.Path
	service, isOTLP := strings.CutPrefix(method, otlpServices)
	signal, _, _ := strings.Cut(service, ".")
	no, known := noSignals[signal]
	switch {
	case !isOTLP || !known:
		refuseGRPC(w, &refusal{codes.Unimplemented, "forkspan takes OTLP traces only; it has no " + method})
		return
	case s.options.PassOn == nil || !strings.HasSuffix(method, "/Export"):
		s.others.Add(1)
		refuseGRPC(w, no)
		return
	}
	s.others.Add(1)
	var answer []byte
	no = s.withMessage(w, r, func(m *message) (no *refusal) {
		answer, no = s.passOn(r.Context(), OtherRequest{Signal: signal, Body: m.body})
		return no
	})
	if no != nil {
		refuseGRPC(w, no)
		return
	}
	answerGRPC(w, answer)
}

// withMessage reads a call's one message for use, which must not keep it.
func (s *Server) withMessage(w http.ResponseWriter, r *http.Request, use func(*message) *refusal) *refusal {
	m := s.newMessage(w)
	defer m.release()
	if err := m.readGRPC(r.Context(), r); err != nil {
		if no := (*refusal)(nil); errors.As(err, &no) {
			return no
		}
		return explainRead(r.Context(), m, err)
	}
	return use(m)
}

func (m *message) readGRPC(ctx context.Context, r *http.Request) error {
	var prefix [5]byte // whether the message is compressed, and its length
	if _, err := io.ReadFull(r.Body, prefix[:]); err != nil {
		if err == io.EOF {
			return &refusal{codes.InvalidArgument, "the call has no message"}
		}
		return err
	}
	size := int64(binary.BigEndian.Uint32(prefix[1:]))
	if size > maxRequest {
		return errTooLarge
	}
	body := &io.LimitedReader{R: r.Body, N: size}
	var err error
	switch encoding := r.Header.Get("Grpc-Encoding"); {
	case prefix[0] == 0:
		err = m.read(ctx, body, int(size))
	case prefix[0] == 1 && encoding == "gzip":
		err = m.unzip(ctx, body)
	default:
		return &refusal{codes.Unimplemented, fmt.Sprintf("grpc-encoding %q is not gzip", encoding)}
	}
	switch {
	case err != nil:
		return err
	case body.N > 0:
		return io.ErrUnexpectedEOF
	}
	switch n, err := io.ReadFull(r.Body, prefix[:1]); {
	case n > 0:
		return &refusal{codes.InvalidArgument, "the call has more than one message"}
	case err != io.EOF:
		return err
	}
	return nil
}

const (
	statusHeader  = "Grpc-Status"
	messageHeader = "Grpc-Message"
)

// headGRPC starts an answer.
func headGRPC(w http.ResponseWriter) http.Header {
	h := w.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Accept-Encoding", "gzip")
	return h
}

// answerGRPC sends a message and the status OK.
func answerGRPC(w http.ResponseWriter, message []byte) {
	h := headGRPC(w)
	b := make([]byte, 5, 5+len(message))
	binary.BigEndian.PutUint32(b[1:], uint32(len(message)))
	h.Set(http.TrailerPrefix+statusHeader, "0")
	_, _ = w.Write(append(b, message...)) // a sender that is gone needs no answer
}

// refuseGRPC sends a status alone.
func refuseGRPC(w http.ResponseWriter, no *refusal) {
	h := headGRPC(w)
	h.Set(statusHeader, strconv.Itoa(int(no.code)))
	h.Set(messageHeader, escapeMessage(no.message))
	w.WriteHeader(http.StatusOK)
}

// escapeMessage writes a status message as gRPC wants it: percent-encoded where it is not printable ASCII.
func escapeMessage(message string) string {
	var b strings.Builder
	for i := range len(message) {
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
