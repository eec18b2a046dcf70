package genai

import (
	"context"
	"errors"
	"io"
	"os"
)

// How a request failed, for [Request.End]. Wrap them with the cause for a log of yours; the cause is never recorded, since
// error texts quote URLs, headers and prompts.
var (
	// ErrClientGone says that the client left before its answer was complete. context.Canceled means the same.
	ErrClientGone = errors.New("client gone")
	// ErrUpstreamCut says that the server's answer broke off. io.ErrUnexpectedEOF means the same.
	ErrUpstreamCut = errors.New("upstream cut")
	// ErrUpstreamUnreachable says that no answer came: no connection, or none that lasted to the answer's header.
	ErrUpstreamUnreachable = errors.New("upstream unreachable")
	// ErrTimeout says that a time limit ended the request. context.DeadlineExceeded, os.ErrDeadlineExceeded and any error
	// whose Timeout method returns true mean the same.
	ErrTimeout = errors.New("timeout")
)

// Values of error.type for requests that failed without a word from the server. For the others it is the server's own type or
// code of the error where that is a plain word, else the HTTP status code.
const (
	ErrorTypeClientGone          = "client_gone"
	ErrorTypeUpstreamCut         = "upstream_cut"
	ErrorTypeUpstreamUnreachable = "upstream_unreachable"
	ErrorTypeTimeout             = "timeout"
)

// errorType returns the error.type that stands for err. Errors of no known kind count as the connection's.
func errorType(err error, answered bool) string {
	switch {
	case err == nil || err == io.EOF:
		return ""
	case errors.Is(err, ErrClientGone):
		return ErrorTypeClientGone
	case errors.Is(err, ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return ErrorTypeTimeout
	case errors.Is(err, ErrUpstreamCut), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrorTypeUpstreamCut
	case errors.Is(err, ErrUpstreamUnreachable):
		return ErrorTypeUpstreamUnreachable
	case errors.Is(err, context.Canceled):
		return ErrorTypeClientGone
	case timedOut(err):
		return ErrorTypeTimeout
	case answered:
		return ErrorTypeUpstreamCut
	}
	return ErrorTypeUpstreamUnreachable
}

func timedOut(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}
