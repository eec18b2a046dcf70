package genaihttp_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"forkspan.dev/forkspan/forkspantest"
)

// TestNoStreamIsCut has servers that answer at once, before the proxy has looked for the end of the request's body: a bare
// ReverseProxy loses a few per cent of these (https://go.dev/issue/40747).
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
