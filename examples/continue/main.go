// Command continue is a server that hands each request to a Python child, in the caller's trace: caller → this server's span
// → the child's spans. The child finds its parent in its environment, as vLLM's workers do.
//
//	go run ./examples/continue
//	curl -H 'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' http://127.0.0.1:9001/tokens -d 'Hello, world!'
package main

import (
	"context"
	_ "embed"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"forkspan.dev/forkspan"
)

// child is the Python program. It counts the words on its standard input, in a span when opentelemetry is installed.
//
//go:embed child.py
var child string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	tr, err := forkspan.Init(ctx, "continue")
	if err != nil {
		slog.Warn("tracing", "err", err) // tr is usable all the same
	}
	server := &http.Server{Addr: "127.0.0.1:9001", Handler: handler("python3"), ReadHeaderTimeout: 30 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Shutdown(context.WithoutCancel(ctx)) })
	slog.Info("serve", "err", server.ListenAndServe())
	_ = tr.Shutdown(ctx)
}

// handler answers with what the child prints.
func handler(python string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := forkspan.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		err := forkspan.Do(ctx, "Count tokens", func(ctx context.Context) error {
			cmd := forkspan.Command(ctx, python, "-c", child)
			cmd.Stdin = http.MaxBytesReader(w, r.Body, 1<<20)
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err != nil {
				return err
			}
			_, err = w.Write(out)
			return err
		})
		if err != nil {
			http.Error(w, "the child has failed", http.StatusInternalServerError)
		}
	})
}
