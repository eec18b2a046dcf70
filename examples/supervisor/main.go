// Command supervisor starts a server, waits until it is ready, and records how long that took. The server's processes join
// the trace through their environment.
//
//	go run ./examples/supervisor http://127.0.0.1:8000/health vllm serve Qwen/Qwen3-0.6B
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"forkspan.dev/forkspan"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: supervisor HEALTH-URL COMMAND [ARGUMENT…]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	tr, err := forkspan.Init(ctx, "supervisor")
	if err != nil {
		slog.Warn("tracing", "err", err) // tr is usable all the same
	}
	err = supervise(ctx, os.Args[1], os.Args[2:])
	_ = tr.Shutdown(ctx)
	if err != nil {
		slog.Error("supervisor", "err", err)
		os.Exit(1)
	}
}

// supervise runs the server until ctx ends. A server that ends by itself is an error.
func supervise(ctx context.Context, health string, argv []string) error {
	cmd, err := start(ctx, health, argv)
	if err != nil {
		return err
	}
	if err := cmd.Wait(); ctx.Err() == nil {
		return fmt.Errorf("the server ended: %w", err)
	}
	return nil
}

// start starts the server and returns when it is ready. What the server does meanwhile is below this span.
func start(ctx context.Context, health string, argv []string) (_ *exec.Cmd, err error) {
	spanCtx, span := forkspan.Start(ctx, "Start server")
	defer forkspan.End(span, &err)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	forkspan.Propagate(spanCtx, cmd)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	return cmd, forkspan.Do(spanCtx, "Wait until ready", func(ctx context.Context) error {
		return ready(ctx, health)
	})
}

// ready asks until the server says that it is ready.
func ready(ctx context.Context, health string) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, health, nil)
		if err != nil {
			return fmt.Errorf("ask for health: %w", err)
		}
		res, err := http.DefaultClient.Do(r)
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(errors.New("the server did not become ready"), ctx.Err())
		}
	}
}
