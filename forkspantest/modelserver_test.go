package forkspantest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"forkspan.dev/forkspan/forkspantest"
)

// A server whose second token comes when the client has the first.
func ExampleStartModelServer() {
	server, err := forkspantest.StartModelServer()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	gate := make(chan struct{})
	server.Reply(forkspantest.Reply{Steps: []forkspantest.Step{
		forkspantest.Role(),
		forkspantest.Token("Hello"),
		forkspantest.Wait(gate),
		forkspantest.Token(", world!"),
		forkspantest.Finish("stop"),
		forkspantest.Done(),
	}})

	res, err := http.Post(server.URL()+"/v1/chat/completions", "application/json", strings.NewReader(`{"stream":true}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	close(gate)
	body, err := io.ReadAll(res.Body)
	fmt.Println(strings.Count(string(body), "data: "), "events,", err)
	fmt.Println(string(server.Requests()[0].Body))
	// Output:
	// 5 events, <nil>
	// {"stream":true}
}

func TestModelServer(t *testing.T) {
	s := forkspantest.NewModelServer(t)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ask := func(method, path, body string) (int, string, error) {
		r, err := http.NewRequestWithContext(ctx, method, s.URL()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(r)
		if err != nil {
			return 0, "", err
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		return res.StatusCode, string(got), err
	}
	for _, tt := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", "/v1/chat/completions", `{}`, 200, `"content":"Hello, world!"`},
		{"POST", "/v1/chat/completions", `{"stream":true}`, 200, "data: [DONE]\n\n"},
		{"POST", "/v1/chat/completions", `{"stream":true,"stream_options":{"include_usage":true}}`, 200, `"choices":[],"usage":{`},
		{"POST", "/v1/completions", `{}`, 200, `"text":"Hello, world!"`},
		{"POST", "/v1/completions", `{"stream":true,"stream_options":{"include_usage":true}}`, 200, `"choices":[],"usage":{`},
		{"GET", "/v1/models", "", 200, forkspantest.ModelName},
		{"GET", "/health", "", 200, ""},
		{"GET", "/nothing", "", 404, "Not Found"},
	} {
		if status, got, err := ask(tt.method, tt.path, tt.body); err != nil || status != tt.status || !strings.Contains(got, tt.want) {
			t.Errorf("%s %s %s: %d %s, %v", tt.method, tt.path, tt.body, status, got, err)
		}
	}

	s.ReplyAll(forkspantest.ErrorReply(http.StatusTooManyRequests, "slow down"))
	s.Reply(forkspantest.Reply{Steps: []forkspantest.Step{forkspantest.Token("a"), forkspantest.Cut()}})
	if _, got, err := ask("POST", "/v1/chat/completions", `{}`); err == nil || !strings.Contains(got, `"a"`) {
		t.Errorf("cut: %q, %v", got, err)
	}
	if status, _, _ := ask("POST", "/v1/chat/completions", `{}`); status != http.StatusTooManyRequests {
		t.Errorf("status %d", status)
	}
	const captured = "HTTP/1.1 201 Created\r\nX-A: b\r\ntransfer-encoding: chunked\r\n\r\nabcdefg"
	for _, size := range []int{0, 3} {
		reply, err := forkspantest.RawReply([]byte(captured), size)
		if err != nil {
			t.Fatal(err)
		}
		s.Reply(reply)
		if status, got, err := ask("POST", "/", ""); status != 201 || got != "abcdefg" || err != nil {
			t.Errorf("raw: %d %q, %v", status, got, err)
		}
	}

	s.Reply(forkspantest.Reply{Steps: []forkspantest.Step{forkspantest.Headers(), forkspantest.Hang()}})
	leaving, leave := context.WithCancel(ctx)
	r, err := http.NewRequestWithContext(leaving, http.MethodGet, s.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	leave()
	res.Body.Close()
	if err := s.WaitGone(ctx, 1); err != nil {
		t.Error(err)
	}
	client.CloseIdleConnections()
	if err := s.WaitNoConnections(ctx); err != nil {
		t.Error(err)
	}
}
