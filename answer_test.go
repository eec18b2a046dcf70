package forkspan

import (
	"net/http"
	"testing"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

func answerBytes(rejected int64, message string) []byte {
	b, err := proto.Marshal(&coltracepb.ExportTraceServiceResponse{PartialSuccess: &coltracepb.ExportTracePartialSuccess{
		RejectedSpans: rejected, ErrorMessage: message}})
	if err != nil {
		panic(err)
	}
	return b
}

// FuzzAnswer compares with the generated code wherever that reads the bytes.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte{})
	f.Add(answerBytes(3, "too old"))
	f.Add(append(answerBytes(3, "too old"), answerBytes(-1, "twice")...))
	f.Add([]byte{0x0a, 0x02, 0x08})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseAnswer(b)
		var want coltracepb.ExportTraceServiceResponse
		if proto.Unmarshal(b, &want) != nil {
			return // generated code also checks UTF-8
		}
		if err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		if p := want.GetPartialSuccess(); got.rejected != p.GetRejectedSpans() || got.message != p.GetErrorMessage() {
			t.Errorf("%x: %+v, want %v", b, got, p)
		}
	})
}

func TestParseJSONAnswer(t *testing.T) {
	for in, want := range map[string]partialSuccess{
		`{}`:                      {},
		`{"partialSuccess":{}}`:   {},
		`{"partialSuccess":null}`: {},
		`{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}`: {3, "too old"},
		`{"partialSuccess":{"rejectedSpans":3},"more":1}`:                   {3, ""},
	} {
		if got, err := parseJSONAnswer([]byte(in)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "<html>", `{"partialSuccess":{"rejectedSpans":"many"}}`} {
		if got, err := parseJSONAnswer([]byte(in)); err == nil {
			t.Errorf("%q: %+v", in, got)
		}
	}
}

// retryInfoOf is google.rpc.RetryInfo on the wire.
func retryInfoOf(d time.Duration) *anypb.Any {
	inner, err := proto.Marshal(durationpb.New(d))
	if err != nil {
		panic(err)
	}
	return &anypb.Any{
		TypeUrl: "type.googleapis.com/google.rpc.RetryInfo",
		Value:   append([]byte{0x0a, byte(len(inner))}, inner...),
	}
}

func TestRetryableGRPC(t *testing.T) {
	info := func(code codes.Code, d time.Duration) error {
		st := status.New(code, "busy").Proto()
		st.Details = append(st.Details, retryInfoOf(d))
		return status.FromProto(st).Err()
	}
	for _, test := range []struct {
		err   error
		retry bool
		after time.Duration
	}{
		{status.Error(codes.Unavailable, "x"), true, 0},
		{info(codes.Unavailable, 2*time.Second), true, 2 * time.Second},
		{status.Error(codes.ResourceExhausted, "x"), false, 0},
		{info(codes.ResourceExhausted, time.Second), true, time.Second},
		{status.Error(codes.InvalidArgument, "x"), false, 0},
		{status.Error(codes.Unauthenticated, "x"), false, 0},
	} {
		again, ok := retryableGRPC(test.err).(*retryError)
		if ok != test.retry || ok && again.after != test.after {
			t.Errorf("%v: retry %v", test.err, ok)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "-1": 0, "soon": 0, "Mon, 01 Jan 2001 00:00:00 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {in}}); got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
	date := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	if got := retryAfter(http.Header{"Retry-After": {date}}); got < time.Minute {
		t.Errorf("a date in an hour: %v", got)
	}
}
