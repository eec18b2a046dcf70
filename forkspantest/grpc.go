package forkspantest

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// The one method of OTLP/gRPC. It is spoken here by hand, so that an answer can be anything, and without the generated service,
// whose package brings a web gateway along. https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
const exportMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

const frameHeader = 5 // bytes before a gRPC message: a flag for compression, and the length

func (c *Collector) serveGRPC(w http.ResponseWriter, r *http.Request) {
	request := Request{Protocol: "grpc", Path: r.URL.Path, Header: r.Header, Client: clientName(r)}
	frame, err := io.ReadAll(io.LimitReader(r.Body, frameHeader+maxBody))
	if err != nil {
		return // the client went away in the middle of its request
	}
	var refusal *Answer
	if r.URL.Path != exportMethod {
		refusal = &Answer{Code: codes.Unimplemented, Message: "unknown method " + r.URL.Path}
	} else if err := request.decodeFrame(frame); err != nil {
		request.Err = err
		refusal = &Answer{Code: codes.Internal, Message: err.Error()}
	}
	answer := c.take(request, refusal)
	if !c.hold(r.Context(), answer) {
		panic(http.ErrAbortHandler)
	}
	c.keep(request.Spans, answer)
	w.Header().Set("Content-Type", "application/grpc")
	w.WriteHeader(http.StatusOK)
	code := answer.grpcCode()
	if code == codes.OK {
		out := answer.Garbage
		if out == nil {
			out = answer.message(false)
		}
		head := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(out)))
		_, _ = w.Write(append(head, out...))
	}
	trailer := w.Header()
	trailer.Set(http.TrailerPrefix+"Grpc-Status", strconv.Itoa(int(code)))
	if code != codes.OK {
		trailer.Set(http.TrailerPrefix+"Grpc-Message", strings.ReplaceAll(url.QueryEscape(answer.Message), "+", "%20"))
		details := base64.RawStdEncoding.EncodeToString(answer.status(code))
		trailer.Set(http.TrailerPrefix+"Grpc-Status-Details-Bin", details)
	}
}

// decodeFrame reads the one message of the request.
func (r *Request) decodeFrame(frame []byte) error {
	if len(frame) < frameHeader {
		return errors.New("read message: no frame")
	}
	message := frame[frameHeader:]
	if want := binary.BigEndian.Uint32(frame[1:]); int(want) != len(message) {
		return fmt.Errorf("read message: %d bytes announced, %d came", want, len(message))
	}
	r.Bytes = len(message)
	if frame[0] == 1 {
		r.Compression = r.Header.Get("Grpc-Encoding")
	}
	message, err := decompress(r.Compression, message)
	if err != nil {
		return err
	}
	var data tracepb.TracesData // the wire form of ExportTraceServiceRequest is the same
	if err := proto.Unmarshal(message, &data); err != nil {
		return fmt.Errorf("decode request: %w", err)
	}
	r.Spans = spansOf(&data)
	return nil
}
