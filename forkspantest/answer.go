package forkspantest

import (
	"net/http"
	"time"

	"google.golang.org/grpc/codes"
)

// Answer says how a [Collector] treats one export request. The zero value accepts it.
type Answer struct {
	// Status is the HTTP status, 0 means 200. A gRPC client gets the code that the OTLP specification pairs with it.
	Status int
	// Code is the gRPC code. An HTTP client gets the paired status, unless Status is set too.
	Code codes.Code
	// Message goes with an error or a partial success.
	Message string
	// RetryAfter becomes the Retry-After header, in whole seconds rounded up, and RetryInfo for gRPC. 0 means neither.
	RetryAfter time.Duration
	// Rejected is the number of spans a partial success takes back: the last ones of the request, which are not kept.
	// With Message alone it is the specification's warning: everything was accepted.
	Rejected int
	// Garbage is sent instead of the response message, with status 200 unless another is set. The spans are kept.
	Garbage []byte
	// Delay is waited before the answer, or until the client gives up.
	Delay time.Duration
	// Hold keeps the answer back until it is closed, the client gives up or the collector closes. One that is never closed
	// makes a black hole.
	Hold <-chan struct{}
}

// accepts reports whether the spans of the request count as delivered.
func (a Answer) accepts() bool { return a.httpStatus() == http.StatusOK }

// pairs are HTTP statuses with the gRPC codes that mean the same to an OTLP client. The first of each is the one chosen.
// https://opentelemetry.io/docs/specs/otlp/#failures
var pairs = []struct {
	status int
	code   codes.Code
}{
	{http.StatusOK, codes.OK},
	{http.StatusBadRequest, codes.InvalidArgument},
	{http.StatusUnauthorized, codes.Unauthenticated},
	{http.StatusForbidden, codes.PermissionDenied},
	{http.StatusNotFound, codes.Unimplemented},
	{http.StatusRequestEntityTooLarge, codes.ResourceExhausted},
	{http.StatusTooManyRequests, codes.ResourceExhausted},
	{http.StatusInternalServerError, codes.Internal},
	{http.StatusBadGateway, codes.Unavailable},
	{http.StatusServiceUnavailable, codes.Unavailable},
	{http.StatusGatewayTimeout, codes.DeadlineExceeded},
}

func (a Answer) httpStatus() int {
	if a.Status != 0 {
		return a.Status
	}
	switch a.Code {
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	}
	for _, p := range pairs {
		if p.code == a.Code {
			return p.status
		}
	}
	return http.StatusInternalServerError
}

func (a Answer) grpcCode() codes.Code {
	if a.Code != codes.OK {
		return a.Code
	}
	if a.Status == 0 {
		return codes.OK
	}
	for _, p := range pairs {
		if p.status == a.Status {
			return p.code
		}
	}
	return codes.Unknown
}
