package proxy

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	fst "forkspan.dev/forkspan/forkspantest"
)

// flusher is an encoder that can send what it has.
type flusher interface {
	io.WriteCloser
	Flush() error
}

// TestCodings passes answers in each content coding as they are, and reads a copy.
func TestCodings(t *testing.T) {
	const chunk = `data: {"id":"a","model":"m","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}` + "\n\n"
	const last = `data: {"id":"a","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n"
	encoders := map[string]func(io.Writer) flusher{
		"gzip": func(w io.Writer) flusher { return gzip.NewWriter(w) },
		"br":   func(w io.Writer) flusher { return brotli.NewWriter(w) },
		"zstd": func(w io.Writer) flusher {
			e, err := zstd.NewWriter(w)
			if err != nil {
				t.Fatal(err)
			}
			return e
		},
	}
	for name, open := range encoders {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, false)
			var encoded bytes.Buffer
			w := open(&encoded)
			var steps []fst.Step
			for _, text := range []string{chunk, chunk, last} {
				_, _ = io.WriteString(w, text)
				_ = w.Flush()
				if text == last {
					_ = w.Close()
				}
				steps = append(steps, fst.Send(encoded.String()))
				encoded.Reset()
			}
			f.upstream.Reply(fst.Reply{Steps: steps, Header: http.Header{
				"Content-Type": {"text/event-stream"}, "Content-Encoding": {name}}})
			var want strings.Builder
			all := open(&want)
			for _, text := range []string{chunk, chunk, last} {
				_, _ = io.WriteString(all, text)
				_ = all.Flush()
			}
			_ = all.Close()
			res, got := f.do(t, http.MethodPost, chatPath, streamBody, http.Header{"Accept-Encoding": {name}})
			if got != want.String() || res.Header.Get("Content-Encoding") != name {
				t.Errorf("%d bytes in %q, want %d", len(got), res.Header.Get("Content-Encoding"), want.Len())
			}
			f.end(t)
			for _, s := range f.sink.spans(t) {
				if s.Name != "chat fake-model" {
					continue
				}
				if reasons, _ := s.Attribute("gen_ai.response.finish_reasons"); len(reasons.([]any)) != 1 || reasons.([]any)[0] != "stop" {
					t.Errorf("finish reasons %v", reasons)
				}
				if n, found := s.Attribute("forkspan.unparsed"); found {
					t.Errorf("%v unparsed", n)
				}
			}
		})
	}
}
