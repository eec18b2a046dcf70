package receive_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	tracecollector "go.opentelemetry.io/proto/otlp/trace/v1"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const exportMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

func (rawCodec) Name() string { return "proto" }

// dial returns a gRPC connection that sends raw bytes.
func dial(t testing.TB, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func post(t testing.TB, url, contentType, encoding string, body io.Reader) (res *http.Response, answer []byte) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	if res, err = transport.RoundTrip(req); err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if answer, err = io.ReadAll(res.Body); err != nil {
		t.Fatal(err)
	}
	return res, answer
}

// partialSuccess reads an ExportTraceServiceResponse.
func partialSuccess(t testing.TB, answer []byte) (rejected uint64, reason string) {
	t.Helper()
	for b := answer; len(b) > 0; {
		num, _, n := protowire.ConsumeTag(b)
		inner, m := protowire.ConsumeBytes(b[n:])
		if num != 1 || m < 0 {
			t.Fatalf("answer %x", answer)
		}
		b = b[n+m:]
		for len(inner) > 0 {
			num, typ, n := protowire.ConsumeTag(inner)
			if n < 0 {
				t.Fatalf("answer %x", answer)
			}
			inner = inner[n:]
			if typ == protowire.VarintType && num == 1 {
				rejected, n = protowire.ConsumeVarint(inner)
			} else {
				reason, n = protowire.ConsumeString(inner)
			}
			if n < 0 {
				t.Fatalf("answer %x", answer)
			}
			inner = inner[n:]
		}
	}
	return rejected, reason
}

// nested returns a span's attribute whose value nests lists to a depth.
func nested(depth int) []byte {
	value := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "deep")
	for range depth {
		list := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), value)
		value = protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), list)
	}
	pair := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), value)
	return protowire.AppendBytes(protowire.AppendTag(nil, 9, protowire.BytesType), pair)
}

// TestBadInput sends what no sender should over both protocols and wants the same verdict.
func TestBadInput(t *testing.T) {
	whole := request(good(1), good(2))
	id8, id16 := strings.Repeat("s", 8), strings.Repeat("t", 16)
	for _, test := range []struct {
		name     string
		body     []byte
		refused  codes.Code // OK for taken
		rejected uint64
		reason   string
		kept     int
	}{
		{name: "well-formed, end before start", body: whole, kept: 2},
		{name: "empty", body: []byte{}},
		{name: "truncated", body: whole[:len(whole)-3], refused: codes.InvalidArgument},
		{name: "noise", body: bytes.Repeat([]byte{0xff, 0x07, 0x13}, 100), refused: codes.InvalidArgument},
		{name: "short trace id", body: request(good(1), span("short", id8), good(2)), rejected: 1, reason: "trace id", kept: 2},
		{name: "zero trace id", body: request(span(strings.Repeat("\x00", 16), id8), good(2)), rejected: 1, reason: "trace id", kept: 1},
		{name: "long span id", body: request(span(id16, id16), good(2)), rejected: 1, reason: "span id", kept: 1},
		{name: "no span id", body: request(span(id16, ""), good(2), span("", id8)), rejected: 2, reason: "span id", kept: 1},
		{name: "truncated span", body: request(good(1), good(2)[:30], good(3)), rejected: 1, reason: "protobuf", kept: 2},
		{name: "text that is not UTF-8", body: request(span(id16, id8, 0x2a, 1, 0xff), good(3)), rejected: 1, reason: "UTF-8", kept: 1},
		{name: "nested 60 deep", body: request(span(id16, id8, nested(60)...), good(3)), kept: 2},
		{name: "nested 1,000 deep", body: request(span(id16, id8, nested(1000)...), good(3)), rejected: 1, reason: "deep", kept: 1},
		{name: "nested 3,000 deep", body: request(good(1), span(id16, id8, nested(3000)...)), rejected: 1, reason: "deep", kept: 1},
	} {
		check := func(t *testing.T, to *sink, answer []byte) {
			rejected, reason := partialSuccess(t, answer)
			if rejected != test.rejected || !strings.Contains(reason, test.reason) {
				t.Errorf("%d rejected: %q", rejected, reason)
			}
			if to.count() != test.kept {
				t.Errorf("%d spans kept", to.count())
			}
			for _, body := range to.bodies {
				if err := proto.Unmarshal(body, &tracecollector.TracesData{}); err != nil {
					t.Errorf("what was kept does not unmarshal: %v", err)
				}
			}
		}
		t.Run("grpc/"+test.name, func(t *testing.T) {
			to := &sink{}
			_, addr := start(t, to)
			var answer []byte
			err := dial(t, addr).Invoke(context.Background(), exportMethod, test.body, &answer)
			if status.Code(err) != test.refused {
				t.Fatalf("answer: %v", err)
			}
			check(t, to, answer)
		})
		t.Run("http/"+test.name, func(t *testing.T) {
			to := &sink{}
			_, addr := start(t, to)
			res, answer := post(t, "http://"+addr+"/v1/traces", "application/x-protobuf", "", bytes.NewReader(test.body))
			if test.refused != codes.OK {
				var st rpcstatus.Status
				if err := proto.Unmarshal(answer, &st); err != nil || codes.Code(st.Code) != test.refused || st.Message == "" {
					t.Errorf("status message %v, %v", &st, err)
				}
				answer = nil
			}
			want := map[codes.Code]int{codes.OK: 200, codes.InvalidArgument: 400}[test.refused]
			if res.StatusCode != want || res.Header.Get("Content-Type") != "application/x-protobuf" {
				t.Errorf("status %s, %s", res.Status, res.Header)
			}
			check(t, to, answer)
		})
	}
}

// zeros is a reader of n zero bytes whose length is not told.
func zeros(n int64) io.Reader { return io.MultiReader(io.LimitReader(zeroReader{}, n)) }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// zipped compresses n zero bytes.
func zipped(t testing.TB, n int64) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := io.Copy(w, zeros(n)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// TestTooLarge sends bodies of 100 MB and gzip bombs. The server must refuse them and go on, and not hold much of them.
func TestTooLarge(t *testing.T) {
	to := &sink{}
	server, addr := start(t, to)
	conn := dial(t, addr)
	url := "http://" + addr + "/v1/traces"
	const large = 100 << 20
	bomb := zipped(t, 1<<27)
	var before, after runtime.MemStats
	for name, send := range map[string]func(t *testing.T) (tooLarge bool){
		"http": func(t *testing.T) bool {
			res, _ := post(t, url, "application/x-protobuf", "", zeros(large))
			return res.StatusCode == http.StatusRequestEntityTooLarge
		},
		"http with its length": func(t *testing.T) bool {
			req, err := http.NewRequest(http.MethodPost, url, zeros(large))
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = large
			req.Header.Set("Content-Type", "application/x-protobuf")
			req.Header.Set("Expect", "100-continue") // or the answer may be lost while the body is still being sent
			transport := &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: 1 << 40}
			res, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			return res.StatusCode == http.StatusRequestEntityTooLarge
		},
		"http by a sender that reads once it has sent": func(t *testing.T) bool {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n", large)
			if _, err := io.Copy(conn, zeros(large)); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			return res.StatusCode == http.StatusRequestEntityTooLarge
		},
		"http gzip bomb": func(t *testing.T) bool {
			res, _ := post(t, url, "application/x-protobuf", "gzip", bytes.NewReader(bomb))
			return res.StatusCode == http.StatusRequestEntityTooLarge
		},
		"http JSON gzip bomb": func(t *testing.T) bool {
			res, answer := post(t, url, "application/json", "gzip", bytes.NewReader(bomb))
			return res.StatusCode == http.StatusRequestEntityTooLarge && strings.HasPrefix(string(answer), `{"code":8,`)
		},
		"http JSON of parts that are nothing": func(t *testing.T) bool {
			body := `{"resourceSpans":[{"scopeSpans":[{"spans":[` + strings.Repeat("{},", 10<<20) + `{}]}]}]}`
			res, answer := post(t, url, "application/json", "", strings.NewReader(body))
			return res.StatusCode == http.StatusRequestEntityTooLarge && strings.Contains(string(answer), "too many parts")
		},
		"grpc": func(*testing.T) bool {
			err := conn.Invoke(context.Background(), exportMethod, make([]byte, large), new([]byte))
			return status.Code(err) == codes.ResourceExhausted
		},
		"grpc gzip bomb": func(*testing.T) bool {
			err := conn.Invoke(context.Background(), exportMethod, make([]byte, 64<<20+1), new([]byte), grpc.UseCompressor("gzip"))
			return status.Code(err) == codes.ResourceExhausted
		},
	} {
		t.Run(name, func(t *testing.T) {
			runtime.ReadMemStats(&before)
			if !send(t) {
				t.Error("not refused as too large")
			}
			runtime.ReadMemStats(&after)
			// The limit twice, as it comes and decompressed, each twice for buffers that grow by doubling, and what the sender needs.
			if used := after.TotalAlloc - before.TotalAlloc; used > 4*(64<<20)+2*large {
				t.Errorf("%d MiB allocated", used>>20)
			}
		})
	}
	if err := conn.Invoke(context.Background(), exportMethod, request(good(1)), new([]byte)); err != nil || to.count() != 1 {
		t.Errorf("afterwards: %v, %d spans", err, to.count())
	}
	if stats := server.Stats(); stats.Refused != 8 || stats.Requests != 9 {
		t.Errorf("counts: %+v", stats)
	}
}

func TestSinkFails(t *testing.T) {
	to := &sink{err: errors.New("store request: no space left on the disk")}
	_, addr := start(t, to)
	err := dial(t, addr).Invoke(context.Background(), exportMethod, request(good(1)), new([]byte))
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "no space") {
		t.Errorf("grpc: %v", err)
	}
	res, answer := post(t, "http://"+addr, "application/x-protobuf", "", bytes.NewReader(request(good(1))))
	var st rpcstatus.Status
	if err := proto.Unmarshal(answer, &st); err != nil || res.StatusCode != 503 || res.Header.Get("Retry-After") == "" ||
		!strings.Contains(st.Message, "no space") {
		t.Errorf("http: %s, %v, %v", res.Status, &st, err)
	}
}

func TestSinkPanics(t *testing.T) {
	to := &sink{enter: func() { panic("broken sink") }}
	_, addr := start(t, to)
	conn := dial(t, addr)
	err := conn.Invoke(context.Background(), exportMethod, request(good(1)), new([]byte))
	if status.Code(err) != codes.Internal {
		t.Errorf("grpc: %v", err)
	}
	if res, _ := post(t, "http://"+addr, "application/x-protobuf", "", bytes.NewReader(request(good(1)))); res.StatusCode != 500 {
		t.Errorf("http: %s", res.Status)
	}
	to.enter = nil
	if err := conn.Invoke(context.Background(), exportMethod, request(good(1)), new([]byte)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
