// Command gateway routes requests to LLM servers by their model, and traces them: a SERVER span for each request, with the
// request to the server as its child, and the server's own span below that.
//
//	go run ./examples/gateway --route small=http://127.0.0.1:8000 --route large=http://127.0.0.1:8001
//
// Where the spans go is said by the OTEL_* variables, or by `forkspan run` in front.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/genai/genaihttp"
)

func main() {
	routes := gateway{}
	listen := flag.String("listen", "127.0.0.1:9000", "address to listen at")
	flag.Func("route", "MODEL=URL of a server (may be repeated)", routes.add)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, routes); err != nil {
		slog.Error("gateway", "err", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen string, routes gateway) error {
	tr, err := forkspan.Init(ctx, "gateway")
	if err != nil {
		slog.Warn("tracing", "err", err) // tr is usable all the same
	}
	defer func() { _ = tr.Shutdown(ctx) }()

	server := &http.Server{Addr: listen, Handler: routes.handler(), ReadHeaderTimeout: 30 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Shutdown(context.WithoutCancel(ctx)) })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// gateway knows the server of each model.
type gateway map[string]*url.URL

func (g gateway) add(route string) error {
	model, address, ok := strings.Cut(route, "=")
	if !ok {
		return errors.New("want MODEL=URL")
	}
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("parse URL: %w", err)
	}
	g[model] = u
	return nil
}

// handler is the whole gateway: the middleware, the choice of a server, the proxy and the transport.
func (g gateway) handler() http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(chosen(r.In.Context())); r.SetXForwarded() },
		FlushInterval: -1, // a token is passed on when it comes
		Transport:     genaihttp.Transport(nil),
	}
	return genaihttp.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, err := g.choose(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		proxy.ServeHTTP(w, r.WithContext(ctx))
	}))
}

type chosenKey struct{}

func chosen(ctx context.Context) *url.URL { return ctx.Value(chosenKey{}).(*url.URL) }

// maxBody bounds what is read to find the model.
const maxBody = 32 << 20

// choose reads the request's model and finds its server, in a span of its own.
func (g gateway) choose(r *http.Request) (_ context.Context, err error) {
	_, span := forkspan.Start(r.Context(), "choose server")
	defer forkspan.End(span, &err)
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	var request struct {
		Model string `json:"model"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, fmt.Errorf("parse request: %w", err)
	}
	server, ok := g[request.Model]
	if !ok {
		return nil, fmt.Errorf("no server for model %q", request.Model)
	}
	span.SetAttributes(attribute.String("gateway.server", server.Host))
	return context.WithValue(r.Context(), chosenKey{}, server), nil
}
