package forkspantest

import (
	"encoding/json"
	"net/http"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
)

// message is the body of the answer: the response message of OTLP, or a google.rpc.Status for an error.
func (a Answer) message(asJSON bool) []byte {
	if a.httpStatus() != http.StatusOK {
		if asJSON {
			return mustJSON(map[string]any{"code": int(a.grpcCode()), "message": a.Message})
		}
		return a.status(a.grpcCode())
	}
	if a.Rejected == 0 && a.Message == "" {
		if asJSON {
			return []byte("{}")
		}
		return nil
	}
	if asJSON {
		return mustJSON(map[string]any{"partialSuccess": map[string]string{
			"rejectedSpans": strconv.Itoa(a.Rejected), "errorMessage": a.Message,
		}})
	}
	// ExportTraceServiceResponse{partial_success = 1: {rejected_spans = 1, error_message = 2}}
	var partial []byte
	partial = protowire.AppendTag(partial, 1, protowire.VarintType)
	partial = protowire.AppendVarint(partial, uint64(a.Rejected))
	partial = appendString(partial, 2, a.Message)
	return appendMessage(nil, 1, partial)
}

// status is a google.rpc.Status{code = 1, message = 2, details = 3}, whose one detail is
// google.rpc.RetryInfo{retry_delay = 1: {seconds = 1, nanos = 2}} when the answer has a RetryAfter.
func (a Answer) status(code codes.Code) []byte {
	var b []byte
	b = protowire.AppendTag(b, 1, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(code))
	b = appendString(b, 2, a.Message)
	if a.RetryAfter <= 0 {
		return b
	}
	var delay []byte
	delay = protowire.AppendTag(delay, 1, protowire.VarintType)
	delay = protowire.AppendVarint(delay, uint64(a.RetryAfter/1e9))
	delay = protowire.AppendTag(delay, 2, protowire.VarintType)
	delay = protowire.AppendVarint(delay, uint64(a.RetryAfter%1e9))
	detail := appendString(nil, 1, "type.googleapis.com/google.rpc.RetryInfo")
	detail = appendMessage(detail, 2, appendMessage(nil, 1, delay))
	return appendMessage(b, 3, detail)
}

func appendString(b []byte, field protowire.Number, s string) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendString(b, s)
}

func appendMessage(b []byte, field protowire.Number, message []byte) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendBytes(b, message)
}

// mustJSON encodes maps of strings and numbers, which cannot fail.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
