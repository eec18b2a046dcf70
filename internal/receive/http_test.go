package receive_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const jsonRequest = `{"resourceSpans":[{"scopeSpans":[{"spans":[
	{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"good"},
	{"traceId":"5b8e","spanId":"eee19b7ec3c1b174","name":"bad"}]}]}]}`

func TestHTTP(t *testing.T) {
	zip := zipped(t, 0)
	for _, test := range []struct {
		name, method, path, contentType, encoding, body string
		status                                          int
		answer                                          string // part of it
		spans                                           int
	}{
		{name: "protobuf", path: "/v1/traces", contentType: "application/x-protobuf", body: string(request(good(1))), status: 200, spans: 1},
		{name: "protobuf by its other name", path: "/v1/traces", contentType: "application/protobuf", status: 200},
		{name: "at the root", path: "/", contentType: "application/x-protobuf", body: string(request(good(1))), status: 200, spans: 1},
		{name: "gzip", path: "/", contentType: "application/x-protobuf", encoding: "gzip", body: string(zip), status: 200},
		{name: "gzip in capitals", path: "/", contentType: "application/x-protobuf", encoding: "GZIP", body: string(zip), status: 200},
		{name: "gzip by its old name", path: "/", contentType: "application/x-protobuf", encoding: "x-gzip", body: string(zip), status: 200},
		{name: "JSON", path: "/v1/traces", contentType: "application/json; charset=utf-8", body: jsonRequest, status: 200,
			answer: `{"partialSuccess":{"rejectedSpans":"1","errorMessage":"1 malformed span rejected: trace id`, spans: 1},
		{name: "JSON without spans", path: "/v1/traces", contentType: "application/json", body: "{}", status: 200, answer: "{}"},
		{name: "broken JSON", path: "/v1/traces", contentType: "application/json", body: jsonRequest[:100], status: 400, answer: `{"code":3,"message":"read OTLP JSON`},
		{name: "JSON nested without end", path: "/v1/traces", contentType: "application/json",
			body: strings.Repeat(`{"a":`, 100_000), status: 400, answer: "depth"},
		{name: "wrong content type", path: "/v1/traces", contentType: "text/plain", body: "hello", status: 415, answer: `"text/plain" is not application/x-protobuf`},
		{name: "no content type", path: "/v1/traces", body: "hello", status: 415},
		{name: "wrong encoding", path: "/v1/traces", contentType: "application/x-protobuf", encoding: "br", status: 415, answer: "gzip"},
		{name: "not gzip", path: "/v1/traces", contentType: "application/x-protobuf", encoding: "gzip", body: "hello", status: 400},
		{name: "truncated gzip", path: "/v1/traces", contentType: "application/x-protobuf", encoding: "gzip", body: string(zip[:len(zip)-2]), status: 400},
		{name: "metrics", path: "/v1/metrics", contentType: "application/x-protobuf", status: 404, answer: "OTEL_METRICS_EXPORTER=none"},
		{name: "logs", path: "/v1/logs", contentType: "application/x-protobuf", status: 404, answer: "OTEL_LOGS_EXPORTER=none"},
		{name: "another path", path: "/api/v2/spans", contentType: "application/json", status: 404},
		{name: "another method", method: http.MethodGet, path: "/v1/traces", status: 405},
	} {
		t.Run(test.name, func(t *testing.T) {
			to := &sink{}
			_, addr := start(t, to)
			method := test.method
			if method == "" {
				method = http.MethodPost
			}
			req, err := http.NewRequest(method, "http://"+addr+test.path, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", test.contentType)
			req.Header.Set("Content-Encoding", test.encoding)
			transport := &http.Transport{DisableKeepAlives: true}
			res, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			answer, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != test.status || !strings.Contains(string(answer), test.answer) {
				t.Errorf("%s: %q, %v", res.Status, answer, err)
			}
			if test.name == "wrong encoding" && res.Header.Get("Accept-Encoding") != "gzip" {
				t.Errorf("header: %v", res.Header)
			}
			if to.count() != test.spans {
				t.Errorf("%d spans arrived", to.count())
			}
		})
	}
}

func TestOtherServices(t *testing.T) {
	server, addr := start(t, &sink{})
	conn := dial(t, addr)
	for method, want := range map[string]string{
		"/opentelemetry.proto.collector.metrics.v1.MetricsService/Export":              "OTEL_METRICS_EXPORTER=none",
		"/opentelemetry.proto.collector.logs.v1.LogsService/Export":                    "OTEL_LOGS_EXPORTER=none",
		"/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export": "not profiles",
		"/grpc.health.v1.Health/Check":                                                 "traces only",
	} {
		err := conn.Invoke(context.Background(), method, []byte{}, new([]byte))
		if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", method, err)
		}
	}
	if stats := server.Stats(); stats.OtherSignals != 3 || stats.Requests != 0 {
		t.Errorf("counts: %+v", stats)
	}
}

// TestHTTP2WithoutGRPC posts OTLP/HTTP over HTTP/2 without TLS, which no exporter does: a clear answer.
func TestHTTP2WithoutGRPC(t *testing.T) {
	_, addr := start(t, &sink{})
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	req, err := http.NewRequest(http.MethodPost, "http://"+addr+"/v1/traces", bytes.NewReader(request(good(1))))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if message := res.Header.Get("Grpc-Message"); res.StatusCode != http.StatusUnsupportedMediaType || !strings.Contains(message, "content-type") {
		t.Errorf("%s: %s", res.Status, res.Header)
	}
}

// TestNoise sends what is neither HTTP nor gRPC.
func TestNoise(t *testing.T) {
	to := &sink{}
	_, addr := start(t, to)
	for name, talk := range map[string]func(c net.Conn){
		"nothing":          func(net.Conn) {},
		"two bytes":        func(c net.Conn) { _, _ = c.Write([]byte("PR")) },
		"noise":            func(c net.Conn) { _, _ = c.Write(bytes.Repeat([]byte{0, 0xff}, 1000)) },
		"TLS":              func(c net.Conn) { _ = tls.Client(c, &tls.Config{ServerName: "localhost"}).Handshake() },
		"a broken preface": func(c net.Conn) { _, _ = c.Write([]byte("PRI * HTTP/1.1\r\n\r\n")) },
		"noise after HTTP/2": func(c net.Conn) {
			_, _ = c.Write(append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), bytes.Repeat([]byte{0xff}, 100)...))
		},
	} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		talk(c)
		if tcp := c.(*net.TCPConn); tcp.CloseWrite() == nil {
			_, _ = io.Copy(io.Discard, c) // until the server closes it
		}
		c.Close()
		if err := dial(t, addr).Invoke(context.Background(), exportMethod, request(good(1)), new([]byte)); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
}
