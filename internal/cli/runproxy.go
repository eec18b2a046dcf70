package cli

import (
	"context"
	"fmt"
	"net/url"
	"sync"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/proxy"
)

// runProxy is one --proxy of a run.
type runProxy struct {
	listen   string
	upstream *url.URL
}

// parseProxies reads the values of --proxy.
func parseProxies(pairs []string) ([]runProxy, error) {
	var proxies []runProxy
	for _, pair := range pairs {
		listen, upstream, err := proxy.ParsePair(pair)
		if err != nil {
			return nil, withHint(&exitError{status: statusUsage, err: fmt.Errorf("run: --proxy: %w", err)},
				"--proxy 4319:8000 listens at 127.0.0.1:4319 and passes requests on to port 8000")
		}
		proxies = append(proxies, runProxy{listen, upstream})
	}
	return proxies, nil
}

// ownProxy takes the spans of a proxy in our own process.
type ownProxy struct{ recorder }

// Append records a request, which comes from none of the command's processes.
func (o ownProxy) Append(ctx context.Context, body []byte, sum otlp.Summary) error {
	sum.Processes = nil
	return o.recorder.Append(ctx, body, sum)
}

// startProxies starts the proxies of --proxy. The command runs also when one cannot listen.
func (s *session) startProxies(proxies []runProxy) {
	for _, p := range proxies {
		// The terminal is the command's: no lines.
		server, err := proxy.Listen(p.listen, proxy.Config{Upstream: p.upstream, Sink: ownProxy{s.rec}, RunID: s.runID})
		if err != nil {
			s.note("proxy: %v", err)
		}
		if server != nil {
			s.note("proxy http://%s → %s", server.Addr(), p.upstream.Redacted())
			s.proxies = append(s.proxies, server)
		}
	}
}

// stopProxies ends the proxies, after the command: what is under way is cut after a moment, and its spans are kept.
func (s *session) stopProxies() {
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	var stopping sync.WaitGroup
	for _, server := range s.proxies {
		stopping.Go(func() {
			if err := server.Shutdown(ctx); err != nil {
				s.note("proxy: %v", err)
			}
		})
	}
	stopping.Wait()
}

// Append sends a proxy's spans to the run that we are in.
func (r *outerRun) Append(_ context.Context, body []byte, sum otlp.Summary) error {
	if r.forward != nil {
		r.forward.Send(body, sum.Spans)
	}
	return nil
}
