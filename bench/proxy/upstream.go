package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// upstream is the fake server: what it does is said by the request's query.
type upstream struct {
	server *http.Server
	gone   chan time.Time // gets when a client of mode=hang has left
}

const (
	path  = "/v1/chat/completions"
	piece = `data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m",` +
		`"choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}` + "\n\n"
	lastData = "data: [DONE]\n\n"
	whole    = `{"id":"a","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant",` +
		`"content":"Hello, world!"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":4,"total_tokens":11}}`
)

func startUpstream(address string, s settings) (*upstream, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	u := &upstream{gone: make(chan time.Time, 1)}
	u.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mode := r.URL.Query().Get("mode")
		if mode != "at-once" {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		if mode == "" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, whole)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		flush := http.NewResponseController(w).Flush
		switch mode {
		case "stream":
			tick := time.NewTicker(s.pace)
			defer tick.Stop()
			for range s.chunks {
				_, _ = io.WriteString(w, piece)
				_ = flush()
				<-tick.C
			}
			_, _ = io.WriteString(w, lastData)
		case "at-once":
			_, _ = io.WriteString(w, strings.Repeat(piece, 5)+lastData)
		case "hang":
			_, _ = io.WriteString(w, piece)
			_ = flush()
			<-r.Context().Done()
			u.gone <- time.Now()
		}
	})}
	go func() { _ = u.server.Serve(l) }()
	return u, nil
}

func (u *upstream) close() { _ = u.server.Close() }
