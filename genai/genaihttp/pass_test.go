package genaihttp_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"

	"forkspan.dev/forkspan/forkspantest"
)

var captureRoutes = []struct{ prefix, path string }{
	{"chat", "/v1/chat/completions"},
	{"completions", "/v1/completions"},
	{"completion-native", "/completion"},
	{"responses", "/v1/responses"},
	{"messages", "/v1/messages"},
	{"error", "/v1/chat/completions"},
}

var endOfHeader = regexp.MustCompile(`\r?\n\r?\n`)

func routeOf(name string) string {
	for _, r := range captureRoutes {
		if strings.HasPrefix(name, r.prefix) {
			return r.path
		}
	}
	return "/unknown"
}

// TestCapturesPass sends what real servers have answered through the middleware and the transport.
func TestCapturesPass(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "testdata", "*", "*.response.http"))
	if err != nil || len(files) < 20 {
		t.Fatalf("captures: %d files, %v", len(files), err)
	}
	for _, k := range []kind{both, middlewareOnly} {
		c := newChain(t, k)
		spans := 0
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".response.http")
			captured, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			body, err := os.ReadFile(strings.Replace(file, ".response.http", ".request.json", 1))
			if err != nil {
				t.Fatal(err)
			}
			for _, size := range []int{0, 7, 1 << 20} {
				t.Run(fmt.Sprintf("%d/%s/%s/%d", k, filepath.Base(filepath.Dir(file)), name, size), func(t *testing.T) {
					reply, err := forkspantest.RawReply(captured, size)
					if err != nil {
						t.Fatal(err)
					}
					c.upstream.Reply(reply)
					res, got := c.post(t, routeOf(name), string(body))
					want := captured[endOfHeader.FindIndex(captured)[1]:]
					if res.StatusCode != reply.Status || !bytes.Equal(got, want) {
						t.Errorf("status %d, %d bytes; want %d, %d bytes", res.StatusCode, len(got), reply.Status, len(want))
					}
					for key := range reply.Header {
						if res.Header.Get(key) != reply.Header.Get(key) {
							t.Errorf("header %s: %q, want %q", key, res.Header.Get(key), reply.Header.Get(key))
						}
					}
					spans++
					if k == both {
						spans++
					}
					for _, s := range c.wait(t, spans) {
						failed := strings.HasPrefix(name, "error") || strings.HasSuffix(name, "error")
						if s.Status().Code == codes.Error && !failed {
							t.Errorf("span %q: %v", s.Name(), s.Status())
						}
						if k == middlewareOnly && attribute(s, "gen_ai.operation.name") == "" {
							t.Errorf("span %q has no operation", s.Name())
						}
					}
					c.spans.Reset()
					spans = 0
				})
			}
			sent := c.upstream.Requests()
			if got := sent[len(sent)-1].Body; !bytes.Equal(got, body) {
				t.Errorf("%s: the server got the body %q, want %q", name, got, body)
			}
		}
	}
}

// TestEveryChunkPassesAtOnce lets the server go on only when the client has the chunk before.
func TestEveryChunkPassesAtOnce(t *testing.T) {
	for _, k := range []kind{both, middlewareOnly, transportOnly} {
		c := newChain(t, k)
		gate := make(chan struct{})
		c.upstream.Reply(forkspantest.Reply{Steps: []forkspantest.Step{
			forkspantest.Role(), forkspantest.Wait(gate),
			forkspantest.Token("one"), forkspantest.Wait(gate),
			forkspantest.Reasoning("two"), forkspantest.Wait(gate),
			forkspantest.Finish("stop"), forkspantest.Done(),
		}})
		res, err := c.client.Do(c.request(patient(t), t, chatPath, streamBody))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"assistant", "one", "two"} {
			readUntil(t, res.Body, want)
			gate <- struct{}{}
		}
		if _, err := io.ReadAll(res.Body); err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
}

// TestLargeBodies sends bodies below and above what is read ahead, with and without a known length.
func TestLargeBodies(t *testing.T) {
	for _, k := range []kind{both, middlewareOnly, transportOnly} {
		c := newChain(t, k)
		for _, size := range []int{0, 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3 << 20} {
			for _, chunked := range []bool{false, true} {
				body := bytes.Repeat([]byte("x"), size)
				r := c.request(patient(t), t, chatPath, string(body))
				if chunked {
					r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), -1
				}
				res, err := c.client.Do(r)
				if err != nil {
					t.Fatalf("%d bytes: %v", size, err)
				}
				if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
					t.Errorf("%d bytes: status %d, %v", size, res.StatusCode, err)
				}
				res.Body.Close()
				sent := c.upstream.Requests()
				if got := sent[len(sent)-1].Body; !bytes.Equal(got, body) {
					t.Errorf("the server got %d bytes, want %d", len(got), size)
				}
			}
		}
	}
}
