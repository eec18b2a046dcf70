package genaihttp_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"forkspan.dev/forkspan/forkspantest"
)

// TestNoStreamIsCut has servers that answer at once, before the proxy has looked for the end of the request's body: a bare
// ReverseProxy may lose some of these (https://go.dev/issue/40747).
func TestNoStreamIsCut(t *testing.T) {
	const (
		streams = 500 // six times; bench/proxy sends 10,000
		atOnce  = 16
	)
	for _, k := range []kind{middlewareOnly, transportOnly, both} {
		for _, chunked := range []bool{false, true} {
			c := newChain(t, k)
			c.upstream.ReplyAll(forkspantest.Reply{Steps: []forkspantest.Step{
				forkspantest.Send("data: {}\n\n"), forkspantest.Send("data: [DONE]\n\n"),
			}, Header: http.Header{"Content-Type": {"text/event-stream"}}})
			var left, cut atomic.Int64
			left.Store(streams)
			var clients sync.WaitGroup
			for range atOnce {
				clients.Go(func() {
					for left.Add(-1) >= 0 {
						r := c.request(t.Context(), t, chatPath, streamBody)
						if chunked {
							r.Body, r.ContentLength = io.NopCloser(strings.NewReader(streamBody)), -1
						}
						res, err := c.client.Do(r)
						if err != nil {
							cut.Add(1)
							continue
						}
						if body, err := io.ReadAll(res.Body); err != nil || !strings.HasSuffix(string(body), "[DONE]\n\n") {
							cut.Add(1)
						}
						res.Body.Close()
					}
				})
			}
			clients.Wait()
			if n := cut.Load(); n > 0 {
				t.Errorf("%d, chunked %v: %d of %d streams were cut", k, chunked, n, streams)
			}
		}
	}
}

// answerEarly serves as a server that answers before it has read the request's body.
func answerEarly(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			for in := bufio.NewReader(conn); ; {
				r, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
				for range 5 {
					_, _ = io.WriteString(conn, "a\r\ndata: {}\n\n\r\n")
				}
				_, _ = io.WriteString(conn, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
				_, _ = io.Copy(io.Discard, r.Body)
			}
		}()
	}
}

// TestEarlyAnswer has bodies of every size under way while the answer comes.
func TestEarlyAnswer(t *testing.T) {
	for _, k := range []kind{middlewareOnly, both} {
		for _, size := range []int{100, 100_000, 3 << 20} {
			for _, chunked := range []bool{false, true} {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				go answerEarly(l)
				c := newChainTo(t, k, "http://"+l.Addr().String())
				var clients sync.WaitGroup
				for range 8 {
					clients.Go(func() {
						for range 8 {
							r := c.request(t.Context(), t, chatPath, strings.Repeat("x", size))
							if chunked {
								r.Body, r.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat("x", size))), -1
							}
							res, err := c.client.Do(r)
							if err != nil {
								t.Errorf("%d, %d bytes, chunked %v: %v", k, size, chunked, err)
								continue
							}
							if body, err := io.ReadAll(res.Body); err != nil || !strings.HasSuffix(string(body), "[DONE]\n\n") {
								t.Errorf("%d, %d bytes, chunked %v: %q, %v", k, size, chunked, body, err)
							}
							res.Body.Close()
						}
					})
				}
				clients.Wait()
				l.Close()
			}
		}
	}
}
