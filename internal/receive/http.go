package receive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"mime"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/klauspost/compress/gzip"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	"forkspan.dev/forkspan/internal/otlp"
)

// newHTTP returns the server for OTLP/HTTP.
func (s *Server) newHTTP() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", s.traces)
	mux.HandleFunc("POST /{$}", s.traces) // where an endpoint without a path makes some exporters post to
	for path, message := range map[string]string{
		"/v1/metrics": noMetrics, "/v1/logs": noLogs, "/v1/profiles": noProfiles, "/v1development/profiles": noProfiles,
	} {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			s.others.Add(1)
			http.Error(w, message, http.StatusNotFound)
		})
	}
	return &http.Server{
		Handler:           mux,
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ReadHeaderTimeout: helloTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      2 * requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // what senders do wrong is told to them
	}
}

// Content types of OTLP/HTTP.
const (
	typeProtobuf = "application/x-protobuf"
	typeJSON     = "application/json"
)

// traces handles one export request.
func (s *Server) traces(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind == "application/protobuf" {
		kind = typeProtobuf
	}
	if kind != typeProtobuf && kind != typeJSON {
		s.refused.Add(1)
		message := fmt.Sprintf("content type %q is not %s or %s", r.Header.Get("Content-Type"), typeProtobuf, typeJSON)
		http.Error(w, message, http.StatusUnsupportedMediaType)
		return
	}
	a, no := s.takeHTTP(w, r, kind)
	w.Header().Set("Content-Type", kind)
	if no != nil {
		s.refused.Add(1)
		if no == errTooLarge {
			discard(r)
		}
		writeRefusal(w, kind, no)
		return
	}
	if kind == typeJSON {
		_, _ = w.Write(a.json()) // a sender that is gone needs no answer
		return
	}
	_, _ = w.Write(a.protobuf())
}

// mostDiscarded bounds what is read of a request only to throw it away.
const mostDiscarded = 4 * maxRequest

// discard reads what is left of a request that is too large. Most senders read the answer once they have sent all, and would
// find the connection reset instead. One that waits for leave to send, sends nothing.
func discard(r *http.Request) {
	if r.Header.Get("Expect") == "" {
		_, _ = io.CopyN(io.Discard, r.Body, mostDiscarded)
	}
}

// errEncoding is the answer to a content encoding that we don't speak.
var errEncoding = &refusal{codes.Unimplemented, "content encoding is not gzip"}

func (s *Server) takeHTTP(w http.ResponseWriter, r *http.Request, kind string) (accepted, *refusal) {
	if r.ContentLength > maxRequest {
		return accepted{}, errTooLarge
	}
	if !s.enter(r.Context()) {
		return accepted{}, errFull
	}
	defer s.leave()
	m := messages.Get().(*message)
	defer m.release()
	body := io.Reader(http.MaxBytesReader(w, r.Body, maxRequest))
	switch r.Header.Get("Content-Encoding") {
	case "", "identity":
		if r.ContentLength <= keepBytes {
			m.body = slices.Grow(m.body[:0], int(max(0, r.ContentLength))+1) // one more, to see the end
		}
	case "gzip":
		unzip := unzippers.Get().(*gzip.Reader)
		defer unzippers.Put(unzip)
		if err := unzip.Reset(body); err != nil {
			return accepted{}, explainRead(err)
		}
		body = unzip
	default:
		return accepted{}, errEncoding
	}
	if err := m.readFrom(body); err != nil {
		return accepted{}, explainRead(err)
	}
	protobuf := m.body
	if kind == typeJSON {
		var err error
		if protobuf, err = otlp.FromJSON(protobuf); err != nil {
			return accepted{}, &refusal{codes.InvalidArgument, err.Error()}
		}
	}
	return s.take(r.Context(), protobuf)
}

var unzippers = sync.Pool{New: func() any { return &gzip.Reader{} }}

// errOverLimit is readFrom's error for a body that decompresses to more than maxRequest.
var errOverLimit = errors.New("too large")

// readFrom reads r to its end. The buffer grows by doubling, yet never beyond maxRequest.
func (m *message) readFrom(r io.Reader) error {
	m.body = m.body[:0]
	for {
		if len(m.body) == cap(m.body) {
			size := min(max(2*cap(m.body), 4096), maxRequest+1)
			m.body = append(make([]byte, 0, size), m.body...)
		}
		n, err := r.Read(m.body[len(m.body):cap(m.body)])
		m.body = m.body[:len(m.body)+n]
		switch {
		case len(m.body) > maxRequest:
			return errOverLimit
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

func explainRead(err error) *refusal {
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) || errors.Is(err, errOverLimit) {
		return errTooLarge
	}
	return &refusal{codes.InvalidArgument, fmt.Sprintf("read request: %v", err)}
}

// statuses are the HTTP statuses of our refusals' codes. Only 429, 502, 503 and 504 make a sender try again.
var statuses = map[codes.Code]int{
	codes.InvalidArgument:   http.StatusBadRequest,
	codes.Unimplemented:     http.StatusUnsupportedMediaType,
	codes.ResourceExhausted: http.StatusRequestEntityTooLarge,
	codes.Internal:          http.StatusInternalServerError,
	codes.Unavailable:       http.StatusServiceUnavailable,
}

// writeRefusal answers with a google.rpc.Status in the request's encoding, as OTLP wants it.
// See https://opentelemetry.io/docs/specs/otlp/#failures.
func writeRefusal(w http.ResponseWriter, kind string, no *refusal) {
	if no.code == codes.Unavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(statuses[no.code])
	if kind == typeJSON {
		b, _ := json.Marshal(struct { // never fails
			Code    uint32 `json:"code"`
			Message string `json:"message"`
		}{uint32(no.code), no.message})
		_, _ = w.Write(b)
		return
	}
	var b []byte
	b = protowire.AppendTag(b, 1, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(no.code))
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendString(b, no.message)
	_, _ = w.Write(b)
}

// json is the answer as an ExportTraceServiceResponse in OTLP JSON.
func (a accepted) json() []byte {
	if a.rejected == 0 {
		return []byte("{}")
	}
	type partial struct {
		RejectedSpans string `json:"rejectedSpans"`
		ErrorMessage  string `json:"errorMessage"`
	}
	b, _ := json.Marshal(struct { // never fails
		PartialSuccess partial `json:"partialSuccess"`
	}{partial{strconv.Itoa(a.rejected), a.message()}})
	return b
}
