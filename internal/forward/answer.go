package forward

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// answer is what a backend said to a request that it took.
type answer struct {
	rejected int64  // spans that it turned down
	message  string // why, or a warning
}

// verdict is what a failure means for the request.
type verdict uint8

const (
	again    verdict = iota // it may be taken later
	tooLarge                // it may be taken in parts
	noAccess                // it may be taken from somebody else, or at another address
	refused                 // it will never be taken
)

// failure is why a backend did not take a request.
type failure struct {
	verdict verdict
	after   time.Duration // not to be tried again before; 0 when the backend does not say
	err     error

	unanswered bool // the backend may have taken the request all the same
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// judge makes a failure of an error of a transport: what is none yet is one of the connection, which may pass.
func judge(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	return &failure{verdict: again, err: err, unanswered: true}
}

// maxAfter bounds how long a backend can make us wait.
const maxAfter = time.Hour

// httpFailure judges a status. The codes that may be tried again are those of the OTLP specification ("OTLP/HTTP Response",
// "Retryable Response Codes").
func httpFailure(resp *http.Response, body []byte, now time.Time) *failure {
	f := &failure{verdict: refused}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		f.verdict, f.after = again, retryAfter(resp.Header.Get("Retry-After"), now)
	case http.StatusRequestEntityTooLarge:
		f.verdict = tooLarge
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusProxyAuthRequired, http.StatusUpgradeRequired, http.StatusUnsupportedMediaType, http.StatusMovedPermanently,
		http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		f.verdict = noAccess
	}
	f.err = errors.New(strings.TrimSpace(fmt.Sprintf("status %d %s", resp.StatusCode, printable(reason(resp, body)))))
	return f
}

// reason is what an error's body says for people: the message of a google.rpc.Status, which OTLP servers send, or a short text.
func reason(resp *http.Response, body []byte) string {
	kind := resp.Header.Get("Content-Type")
	switch {
	case strings.HasPrefix(kind, "application/x-protobuf"):
		const message = 2
		if text, n := protowire.ConsumeBytes(findField(body, message, protowire.BytesType)); n >= 0 {
			return string(text)
		}
	case strings.HasPrefix(kind, "application/json"):
		var s struct{ Message string }
		if json.Unmarshal(body, &s) == nil {
			return s.Message
		}
	case strings.HasPrefix(kind, "text/plain"):
		line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
		return line
	}
	return http.StatusText(resp.StatusCode)
}

// maxText bounds what is kept of a backend's words, in bytes.
const maxText = 300

// printable makes one short line of a backend's words.
func printable(text string) string {
	if len(text) > maxText {
		text = text[:maxText] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// retryAfter reads the header Retry-After (RFC 9110, section 10.2.3): seconds or a date.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		return min(time.Duration(max(0, min(seconds, int64(maxAfter/time.Second))))*time.Second, maxAfter)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(0, at.Sub(now)), maxAfter)
	}
	return 0
}

// grpcFailure judges a gRPC error. The codes that may be tried again are those of the OTLP specification ("OTLP/gRPC Response",
// "Failures"). It lets RESOURCE_EXHAUSTED be tried again only with RetryInfo; collectors that are busy often leave that out, and
// nothing is gained by giving up.
func grpcFailure(err error) *failure {
	s := status.Convert(err)
	message := s.Message()
	if i := strings.LastIndex(message, "transport: "); i >= 0 {
		message = strings.TrimRight(message[i+len("transport: "):], `"`) // without gRPC's own layers
	}
	f := &failure{verdict: refused, err: fmt.Errorf("%s: %s", s.Code(), printable(message))}
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			f.after = min(max(0, info.GetRetryDelay().AsDuration()), maxAfter)
		}
	}
	switch s.Code() {
	case codes.ResourceExhausted:
		if f.verdict = again; f.after == 0 && saysTooLarge(message) {
			f.verdict = tooLarge
		}
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable:
		f.verdict, f.unanswered = again, f.after == 0
	case codes.Aborted, codes.OutOfRange, codes.DataLoss:
		f.verdict = again
	case codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented, codes.NotFound:
		f.verdict = noAccess
	}
	return f
}

// saysTooLarge tells whether the message of RESOURCE_EXHAUSTED is about the size of the request. grpc-go says "received message
// larger than max", grpc's C core "Received message larger than max" and "Sent message larger than max", grpc-java "gRPC message
// exceeds maximum size", others the like.
func saysTooLarge(message string) bool {
	message = strings.ToLower(message)
	for _, words := range []string{"larger than", "too large", "exceeds maximum", "exceeds the maximum", "message size", "too big"} {
		if strings.Contains(message, words) {
			return true
		}
	}
	return false
}

// readAnswer reads an ExportTraceServiceResponse (opentelemetry/proto/collector/trace/v1/trace_service.proto); a broken one
// rejects nothing.
func readAnswer(b []byte) (a answer) {
	const (
		partialSuccess = 1
		rejectedSpans  = 1
		errorMessage   = 2
	)
	partial, n := protowire.ConsumeBytes(findField(b, partialSuccess, protowire.BytesType))
	if n < 0 {
		return a
	}
	if count, n := protowire.ConsumeVarint(findField(partial, rejectedSpans, protowire.VarintType)); n >= 0 {
		a.rejected = max(0, int64(count))
	}
	if text, n := protowire.ConsumeBytes(findField(partial, errorMessage, protowire.BytesType)); n >= 0 {
		a.message = printable(string(text))
	}
	return a
}

// findField returns what follows the tag of the first field of that number and type in message; nil when there is none.
func findField(message []byte, want protowire.Number, typ protowire.Type) []byte {
	for len(message) > 0 {
		num, got, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil
		}
		message = message[n:]
		if num == want && got == typ {
			return message
		}
		if n = protowire.ConsumeFieldValue(num, got, message); n < 0 {
			return nil
		}
		message = message[n:]
	}
	return nil
}

// readJSONAnswer is readAnswer for JSON, where a 64-bit number is a string, or a number with lenient writers.
func readJSONAnswer(b []byte) (a answer) {
	var msg struct {
		PartialSuccess struct {
			RejectedSpans json.RawMessage `json:"rejectedSpans"`
			ErrorMessage  string          `json:"errorMessage"`
		} `json:"partialSuccess"`
	}
	if json.Unmarshal(b, &msg) != nil {
		return a
	}
	n, err := strconv.ParseInt(strings.Trim(string(msg.PartialSuccess.RejectedSpans), `"`), 10, 64)
	if err == nil {
		a.rejected = max(0, n)
	}
	a.message = printable(msg.PartialSuccess.ErrorMessage)
	return a
}
