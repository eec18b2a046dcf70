package receive

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	"forkspan.dev/forkspan/internal/otlp"
)

// newHTTP returns the server for OTLP/HTTP, over HTTP/1.
func (s *Server) newHTTP() *http.Server {
	return &http.Server{
		Handler:           s.newHandler(),
		ConnContext:       withConn,
		ReadHeaderTimeout: helloTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      2 * requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(io.Discard, "", 0), // what senders do wrong is told to them
	}
}

// newHandler refuses what comes from web pages.
func (s *Server) newHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", s.traces)
	mux.HandleFunc("POST /{$}", s.traces) // where an endpoint without a path makes some exporters post to
	for path, signal := range map[string]string{
		"/v1/metrics": "metrics", "/v1/logs": "logs", "/v1/profiles": "profiles", "/v1development/profiles": "profiles",
	} {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) { s.otherHTTP(w, r, signal) })
	}
	for path, page := range s.options.Pages {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			if no := s.authorize(r.Header.Get("Authorization")); no != nil && !page.Open {
				writeRefusal(w, "", no)
				return
			}
			page.ServeHTTP(w, r)
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if no := s.checkOrigin(r); no != nil {
			writeRefusal(w, requestType(r), no)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// Content types of OTLP/HTTP.
const (
	typeProtobuf = "application/x-protobuf"
	typeJSON     = "application/json"
)

// requestType is one of OTLP's content types; empty for another.
func requestType(r *http.Request) string {
	switch kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind {
	case typeProtobuf, "application/protobuf":
		return typeProtobuf
	case typeJSON:
		return typeJSON
	}
	return ""
}

// traces handles one export request.
func (s *Server) traces(w http.ResponseWriter, r *http.Request) {
	kind := requestType(r)
	if no := s.authorize(r.Header.Get("Authorization")); no != nil {
		writeRefusal(w, kind, no)
		return
	}
	s.requests.Add(1)
	var a accepted
	no := s.withBody(w, r, kind, func(m *message) (no *refusal) {
		protobuf := m.body
		if kind == typeJSON {
			if protobuf, no = s.fromJSON(r.Context(), protobuf); no != nil {
				return no
			}
		}
		a, no = s.take(r.Context(), protobuf)
		return no
	})
	switch {
	case no != nil:
		s.refused.Add(1)
		writeRefusal(w, kind, no)
	case kind == typeJSON:
		answerHTTP(w, kind, a.json())
	default:
		answerHTTP(w, kind, a.protobuf())
	}
}

// Bounds of decoding JSON, in which three bytes can ask for some hundreds. The parts allow for about 13,000 spans.
const (
	maxJSONParts = 400_000 // commas and opening braces
	smallJSON    = 64 << 10
)

// fromJSON turns a request in JSON into protobuf, one large request at a time.
func (s *Server) fromJSON(ctx context.Context, body []byte) ([]byte, *refusal) {
	if len(body) > smallJSON {
		if bytes.Count(body, []byte(","))+bytes.Count(body, []byte("{")) > maxJSONParts {
			return nil, &refusal{codes.ResourceExhausted, "too many parts for one request in JSON: send fewer spans at once, or protobuf"}
		}
		select {
		case s.largeJSON <- struct{}{}:
			defer func() { <-s.largeJSON }()
		case <-ctx.Done():
			return nil, &refusal{codes.Unavailable, "the request was given up"}
		}
	}
	protobuf, err := otlp.FromJSON(body)
	if err != nil {
		return nil, &refusal{codes.InvalidArgument, err.Error()}
	}
	return protobuf, nil
}

// otherHTTP handles an export request for another signal.
func (s *Server) otherHTTP(w http.ResponseWriter, r *http.Request, signal string) {
	kind := requestType(r)
	if no := s.authorize(r.Header.Get("Authorization")); no != nil {
		writeRefusal(w, kind, no)
		return
	}
	s.others.Add(1)
	if s.options.PassOn == nil {
		http.Error(w, noSignals[signal].message, http.StatusNotFound)
		return
	}
	var answer []byte
	no := s.withBody(w, r, kind, func(m *message) (no *refusal) {
		answer, no = s.passOn(r.Context(), OtherRequest{Signal: signal, JSON: kind == typeJSON, Body: m.body})
		return no
	})
	if no != nil {
		writeRefusal(w, kind, no)
		return
	}
	answerHTTP(w, kind, answer)
}

func answerHTTP(w http.ResponseWriter, kind string, answer []byte) {
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(answer) // a sender that is gone needs no answer
}

// withBody reads a request's body for use, which must not keep it.
func (s *Server) withBody(w http.ResponseWriter, r *http.Request, kind string, use func(*message) *refusal) *refusal {
	if kind == "" {
		return &refusal{codes.Unimplemented,
			fmt.Sprintf("content type %q is not %s or %s", r.Header.Get("Content-Type"), typeProtobuf, typeJSON)}
	}
	if r.ContentLength > maxRequest {
		discard(r)
		return errTooLarge
	}
	c := r.Context().Value(connKey{}).(*conn)
	m := s.newMessage(c, func() { _ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) })
	defer m.release()
	if no := m.readHTTP(w, r); no != nil {
		if no == errTooLarge {
			m.room.leave(&m.arrival)
			m.body = nil
			discard(r)
		}
		return no
	}
	if no := use(m); no != nil {
		return no
	}
	c.proven.Store(true)
	return nil
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

func (m *message) readHTTP(w http.ResponseWriter, r *http.Request) *refusal {
	body := http.MaxBytesReader(w, r.Body, maxRequest)
	var err error
	switch strings.ToLower(r.Header.Get("Content-Encoding")) {
	case "", "identity":
		err = m.read(r.Context(), body, int(r.ContentLength), 0)
	case "gzip", "x-gzip":
		err = m.unzip(r.Context(), body)
	default:
		w.Header().Set("Accept-Encoding", "gzip")
		return errEncoding
	}
	if err != nil {
		return explainRead(r.Context(), m, err)
	}
	return nil
}

// statuses are the HTTP statuses of our refusals' codes; 400 for any other. Only 429, 502, 503 and 504 make a sender try again.
var statuses = map[codes.Code]int{
	codes.Unauthenticated:   http.StatusUnauthorized,
	codes.PermissionDenied:  http.StatusForbidden,
	codes.Unimplemented:     http.StatusUnsupportedMediaType,
	codes.ResourceExhausted: http.StatusRequestEntityTooLarge,
	codes.Internal:          http.StatusInternalServerError,
	codes.Unavailable:       http.StatusServiceUnavailable,
	codes.DeadlineExceeded:  http.StatusGatewayTimeout,
}

// writeRefusal answers with a google.rpc.Status in the request's encoding, as OTLP wants it, and in plain text to what is no OTLP.
// See https://opentelemetry.io/docs/specs/otlp/#failures.
func writeRefusal(w http.ResponseWriter, kind string, no *refusal) {
	switch no.code {
	case codes.Unavailable:
		w.Header().Set("Retry-After", "1")
	case codes.Unauthenticated:
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	code := statuses[no.code]
	if code == 0 {
		code = http.StatusBadRequest
	}
	if kind == "" {
		http.Error(w, no.message, code)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(code)
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
	b = protowire.AppendString(b, strings.ToValidUTF8(no.message, "\uFFFD"))
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
