package forkspan

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// answer is what the collector said to an export that it took.
type answer struct {
	taken    bool // some of it, at least
	rejected int  // spans that it turned down
	failed   int  // spans of the requests that it did not take, where the export was more than one
}

type answerKey struct{}

// withAnswer asks the client for the collector's answer: an exporter's error does not say how many spans were rejected.
func withAnswer(ctx context.Context, a *answer) context.Context {
	return context.WithValue(ctx, answerKey{}, a)
}

// note hands the answer to who has asked for it.
func (a answer) note(ctx context.Context) {
	if to, ok := ctx.Value(answerKey{}).(*answer); ok {
		*to = a
	}
}

// partialSuccess is ExportTracePartialSuccess of the OTLP protocol.
type partialSuccess struct {
	rejected int64
	message  string
}

// err makes an error of what the collector had to say.
func (p partialSuccess) err() error {
	if p.rejected <= 0 && p.message == "" {
		return nil
	}
	return fmt.Errorf("collector rejected %d spans: %s", max(0, p.rejected), p.message)
}

var errAnswer = errors.New("read answer: not an OTLP message")

// parseAnswer reads an ExportTraceServiceResponse: field 1 is the partial success, in which field 1 is the number of
// rejected spans and field 2 the message (opentelemetry/proto/collector/trace/v1/trace_service.proto).
func parseAnswer(b []byte) (partialSuccess, error) {
	var p partialSuccess
	err := fields(b, func(num protowire.Number, typ protowire.Type, value []byte) error {
		if num != 1 || typ != protowire.BytesType {
			return nil
		}
		inner, _ := protowire.ConsumeBytes(value)
		return fields(inner, func(num protowire.Number, typ protowire.Type, value []byte) error {
			switch {
			case num == 1 && typ == protowire.VarintType:
				n, _ := protowire.ConsumeVarint(value)
				p.rejected = int64(n)
			case num == 2 && typ == protowire.BytesType:
				text, _ := protowire.ConsumeBytes(value)
				p.message = string(text)
			}
			return nil
		})
	})
	return p, err
}

// fields calls f with each field of a message; the value is as it is on the wire.
func fields(b []byte, f func(num protowire.Number, typ protowire.Type, value []byte) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errAnswer
		}
		size := protowire.ConsumeFieldValue(num, typ, b[n:])
		if size < 0 {
			return errAnswer
		}
		if err := f(num, typ, b[n:n+size]); err != nil {
			return err
		}
		b = b[n+size:]
	}
	return nil
}

// parseJSONAnswer does the same for JSON, where a 64-bit number is a string, or a number with lenient writers.
func parseJSONAnswer(b []byte) (partialSuccess, error) {
	var msg struct {
		PartialSuccess struct {
			RejectedSpans json.RawMessage `json:"rejectedSpans"`
			ErrorMessage  string          `json:"errorMessage"`
		} `json:"partialSuccess"`
	}
	if err := json.Unmarshal(b, &msg); err != nil {
		return partialSuccess{}, fmt.Errorf("read answer: %w", err)
	}
	p := partialSuccess{message: msg.PartialSuccess.ErrorMessage}
	if raw := bytes.Trim(msg.PartialSuccess.RejectedSpans, `"`); len(raw) > 0 {
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			return partialSuccess{}, errAnswer
		}
		p.rejected = n
	}
	return p, nil
}
