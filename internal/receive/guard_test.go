package receive_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"forkspan.dev/forkspan/internal/receive"
)

// TestGuard sends requests that a page in a browser, or a sender without the token, would send.
func TestGuard(t *testing.T) {
	body := request(good(1))
	for _, test := range []struct {
		name   string
		token  string
		host   string // empty for the address
		header string // one more
		status int
	}{
		{name: "by address", status: 200},
		{name: "localhost", host: "localhost:4318", status: 200},
		{name: "below localhost", host: "forkspan.localhost", status: 200},
		{name: "IPv6", host: "[::1]:4318", status: 200},
		{name: "from a container", host: "host.docker.internal:4318", status: 200},
		{name: "the name it was told", host: "Collector.lan:4318", status: 200},
		{name: "rebound name", host: "evil.example:4318", status: 403},
		{name: "name that looks like ours", host: "localhost.evil.example", status: 403},
		{name: "page from elsewhere", header: "Origin: http://evil.example", status: 403},
		{name: "page from elsewhere, told by the browser", header: "Sec-Fetch-Site: cross-site", status: 403},
		{name: "sandboxed page", header: "Origin: null", status: 403},
		{name: "no token", token: "s3cret", status: 401},
		{name: "token", token: "s3cret", header: "Authorization: Bearer s3cret", status: 200},
		{name: "token, scheme in small letters", token: "s3cret", header: "Authorization: bearer s3cret", status: 200},
		{name: "wrong token", token: "s3cret", header: "Authorization: Bearer s3creT", status: 401},
		{name: "part of the token", token: "s3cret", header: "Authorization: Bearer s3cre", status: 401},
		{name: "token without scheme", token: "s3cret", header: "Authorization: s3cret", status: 401},
		{name: "other scheme", token: "s3cret", header: "Authorization: Basic s3cret", status: 401},
		{name: "token, any name", token: "s3cret", host: "forkspan.svc", header: "Authorization: Bearer s3cret", status: 200},
		{name: "token, page from elsewhere", token: "s3cret", header: "Origin: http://evil.example", status: 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			to := &sink{}
			server, addr := startWith(t, to, receive.Options{Token: test.token, Host: "collector.lan"})
			req, err := http.NewRequest(http.MethodPost, "http://"+addr+"/v1/traces", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Host = test.host
			req.Header.Set("Content-Type", "application/x-protobuf")
			if key, value, ok := strings.Cut(test.header, ": "); ok {
				req.Header.Set(key, value)
			}
			res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			kept, refused := 1, int64(0)
			if test.status != 200 {
				kept, refused = 0, 1
			}
			if res.StatusCode != test.status || to.count() != kept || server.Stats().Unauthorized != refused {
				t.Errorf("%s, %d spans, %+v", res.Status, to.count(), server.Stats())
			}
			for name := range res.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("a page is let in by %s", name)
				}
			}
			if test.status == 401 && res.Header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("header %v", res.Header)
			}
		})
	}
}

// TestTokenGRPC wants the token in the metadata, and the refusal before the body is read.
func TestTokenGRPC(t *testing.T) {
	to := &sink{}
	server, addr := startWith(t, to, receive.Options{Token: "s3cret"})
	conn := dial(t, addr)
	for _, test := range []struct {
		authorization string
		want          codes.Code
	}{
		{"", codes.Unauthenticated}, {"Bearer wrong", codes.Unauthenticated}, {"Bearer s3cret", codes.OK},
	} {
		ctx := context.Background()
		if test.authorization != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", test.authorization)
		}
		for _, method := range []string{exportMethod, "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"} {
			want := test.want
			if want == codes.OK && method != exportMethod {
				want = codes.Unimplemented
			}
			if err := conn.Invoke(ctx, method, request(good(1)), new([]byte)); status.Code(err) != want {
				t.Errorf("%q: %v, want %v", test.authorization, err, want)
			}
		}
	}
	if stats := server.Stats(); to.count() != 1 || stats.Unauthorized != 4 || stats.Requests != 1 {
		t.Errorf("%d spans, %+v", to.count(), stats)
	}
}

// TestTokenBeforeBody sends a header alone: a sender without the token gets its answer for that.
func TestTokenBeforeBody(t *testing.T) {
	_, addr := startWith(t, &sink{}, receive.Options{Token: "s3cret"})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 1000000\r\n\r\n")
	line := make([]byte, len("HTTP/1.1 401"))
	if _, err := io.ReadFull(conn, line); err != nil || string(line) != "HTTP/1.1 401" {
		t.Errorf("%q, %v", line, err)
	}
}

// TestOtherUser connects as another user of this machine, which takes root, and as ourselves.
func TestOtherUser(t *testing.T) {
	users := []int{os.Getuid()}
	if os.Getuid() == 0 {
		users = append(users, 65534)
	}
	for _, uid := range users {
		for _, options := range []receive.Options{{}, {AnyUser: true}, {Token: "s3cret"}} {
			t.Run(fmt.Sprintf("%d/any=%v,token=%s", uid, options.AnyUser, options.Token), func(t *testing.T) {
				server, addr := startWith(t, &sink{}, options)
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), userVariable+"="+strconv.Itoa(uid), addrVariable+"="+addr)
				out, err := cmd.CombinedOutput()
				answered := strings.HasPrefix(string(out), "HTTP/1.1 ")
				if err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				if refused := uid != os.Getuid() && !options.AnyUser && options.Token == ""; answered == refused {
					t.Errorf("the process read %q", out)
				} else if refused != (server.Stats().Strangers == 1) {
					t.Errorf("%+v", server.Stats())
				}
			})
		}
	}
}

// TestGoneIsNoStranger closes connections before they are accepted: nobody was refused.
func TestGoneIsNoStranger(t *testing.T) {
	l := mustListen(t)
	for range 20 {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	server := receive.New(&sink{}, receive.Options{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	res, _ := post(t, "http://"+l.Addr().String()+"/v1/traces", "application/x-protobuf", "", bytes.NewReader(request(good(1))))
	if stats := server.Stats(); res.StatusCode != 200 || stats.Strangers != 0 || stats.Spans != 1 {
		t.Errorf("status %d, %+v", res.StatusCode, stats)
	}
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
