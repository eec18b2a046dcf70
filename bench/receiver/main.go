// Command receiver is forkspan's receiver and store alone, to be measured by ingest: OTLP/gRPC and OTLP/HTTP on one port, the
// spans of a trace, found by its id, on another.
package main

import (
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"syscall"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/receive"
	"forkspan.dev/forkspan/internal/store"
)

func main() {
	dir := flag.String("dir", ".", "folder of the database")
	listen := flag.String("listen", "127.0.0.1:14317", "address for OTLP")
	query := flag.String("query", "127.0.0.1:14318", "address for queries")
	redact := flag.Bool("redact", false, "hide secrets in the spans before they are stored, as forkspan's --redact")
	profile := flag.String("profile", "", "write a CPU profile to this file")
	flag.Parse()
	if err := run(*dir, *listen, *query, *profile, *redact); err != nil {
		fmt.Fprintln(os.Stderr, "receiver:", err)
		os.Exit(1)
	}
}

func run(dir, listen, query, profile string, redact bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	s, err := store.Open(ctx, filepath.Join(dir, "forkspan.db"), store.Options{
		Redact: redact,
		Notify: func(msg string) { fmt.Fprintln(os.Stderr, msg) },
	})
	if err != nil {
		return err
	}
	defer s.Close()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	questions, err := net.Listen("tcp", query)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /trace/{id}", func(w http.ResponseWriter, r *http.Request) {
		if err := writeTrace(r.Context(), w, s, r.PathValue("id")); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	go func() { _ = http.Serve(questions, mux) }()
	server := receive.New(sink{s}, receive.Options{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	<-ctx.Done()
	// Everything was acknowledged; there is nothing to wait for.
	_ = server.Shutdown(ctx)
	fmt.Fprintf(os.Stderr, "%+v, %d goroutines\n", server.Stats(), runtime.NumGoroutine())
	return <-served
}

type sink struct{ *store.Store }

// Append implements receive.Sink.
func (s sink) Append(ctx context.Context, body []byte, sum otlp.Summary) error {
	return s.Store.Append(ctx, "", body, sum)
}

// writeTrace writes the spans of the trace, decoded and told apart from the others of their requests.
func writeTrace(ctx context.Context, w http.ResponseWriter, s *store.Store, hexID string) error {
	b, err := hex.DecodeString(hexID)
	if err != nil || len(b) != 16 {
		return fmt.Errorf("trace id %q: %w", hexID, err)
	}
	for r, err := range s.Trace(ctx, otlp.TraceID(b)) {
		if err != nil {
			return err
		}
		spans, err := otlp.Decode(r.Body)
		if err != nil {
			return err
		}
		for i := range spans {
			if s := &spans[i]; s.TraceID == otlp.TraceID(b) {
				fmt.Fprintf(w, "%x %x %s %d %d %v\n", s.SpanID, s.ParentID, s.Name, s.Start, s.End, s.Attributes())
			}
		}
	}
	return nil
}
