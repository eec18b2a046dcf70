package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"forkspan.dev/forkspan/internal/receive"
)

// pages are what a server answers besides OTLP. Whether it lives and is ready is no secret; its figures may be.
func (s *server) pages() map[string]receive.Page {
	return map[string]receive.Page{
		"/healthz": {Handler: http.HandlerFunc(healthz), Open: true},
		"/readyz":  {Handler: http.HandlerFunc(s.readyz), Open: true},
		"/metrics": {Handler: http.HandlerFunc(s.metrics)},
	}
}

func healthz(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") }

func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	if err := s.ready(ctx); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

// metrics writes the counters in Prometheus' text format, version 0.0.4.
func (s *server) metrics(w http.ResponseWriter, _ *http.Request) {
	stats := s.receiver.Stats()
	s.mu.Lock()
	unsaved := s.unsaved
	s.mu.Unlock()
	var b bytes.Buffer
	write := func(name, kind, help string, value int64) {
		fmt.Fprintf(&b, "# HELP forkspan_%[1]s %[3]s\n# TYPE forkspan_%[1]s %[2]s\nforkspan_%[1]s %[4]s\n",
			name, kind, help, strconv.FormatInt(value, 10))
	}
	counter := func(name, help string, value int64) { write(name+"_total", "counter", help, value) }
	write("connections", "gauge", "Open connections of senders.", stats.Connections)
	write("start_time_seconds", "gauge", "When the server started, in seconds since 1970.", s.begun.Unix())
	counter("trace_requests", "Trace requests read, refused ones among them.", stats.Requests)
	counter("trace_requests_refused", "Trace requests refused as a whole.", stats.Refused)
	counter("trace_requests_slow", "Requests given up because they arrived more slowly than others while memory was short.", stats.Slow)
	counter("spans_stored", "Spans stored and acknowledged.", stats.Spans)
	counter("spans_malformed", "Malformed spans rejected by partial success.", stats.Rejected)
	counter("spans_not_stored", "Spans that the store did not take, whose senders were told to come again.", unsaved)
	counter("other_requests", "Requests with metrics, logs or profiles.", stats.OtherSignals)
	counter("other_requests_passed_on", "Requests with metrics, logs or profiles that the backend took.", stats.PassedOn)
	counter("requests_unauthorized", "Requests without the token, for other hosts, or from web pages.", stats.Unauthorized)
	counter("connections_of_other_users", "Connections of other users of this machine, which were closed.", stats.Strangers)
	if s.forward != nil {
		sent := s.forward.Stats()
		counter("spans_forwarded", "Spans that the backend took.", sent.Sent)
		counter("spans_forward_rejected", "Spans that the backend turned down when it took others.", sent.Rejected)
		counter("spans_forward_dead", "Spans that the backend refused for good, kept as dead letters.", sent.Dead)
		failing := int64(0)
		if sent.Failing {
			failing = 1
		}
		write("forward_failing", "gauge", "1 while the backend takes nothing.", failing)
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}

// serveHealth answers probes at a listener of their own, which takes no spans.
func (s *server) serveHealth(l net.Listener) (stop func()) {
	mux := http.NewServeMux()
	for path, page := range s.pages() {
		mux.Handle("GET "+path, page)
	}
	probes := &http.Server{
		Handler: mux, ReadTimeout: probeTimeout, WriteTimeout: probeTimeout, IdleTimeout: probeTimeout, MaxHeaderBytes: 8 << 10,
		ErrorLog: log.New(io.Discard, "", 0),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = probes.Serve(&fewConns{Listener: l, places: make(chan struct{}, maxProbes)})
	}()
	return func() {
		probes.Close()
		<-done
	}
}

const (
	probeTimeout = 10 * time.Second
	maxProbes    = 32 // connections at once; more are closed
)

// fewConns is a listener that closes connections beyond so many at once.
type fewConns struct {
	net.Listener
	places chan struct{}
}

// Accept implements [net.Listener].
func (l *fewConns) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.places <- struct{}{}:
			return &fewConn{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
		default:
			c.Close()
		}
	}
}

type fewConn struct {
	net.Conn
	leave func()
}

// Close implements [net.Conn].
func (c *fewConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
