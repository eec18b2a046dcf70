package ready

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Condition is what makes a server ready. Exactly one field is set.
type Condition struct {
	URL  string // answers a GET with a status below 400
	Addr string // host:port that accepts a TCP connection
	Span string // name of a finished span
}

// Parse reads URL, tcp:HOST:PORT or span:NAME.
func Parse(s string) (Condition, error) {
	switch {
	case strings.HasPrefix(s, "span:"):
		if name := s[len("span:"):]; name != "" {
			return Condition{Span: name}, nil
		}
		return Condition{}, fmt.Errorf("ready condition %q has no span name", s)
	case strings.HasPrefix(s, "tcp:"):
		addr := strings.TrimPrefix(s[len("tcp:"):], "//")
		host, port, err := net.SplitHostPort(addr)
		if err != nil || port == "" {
			return Condition{}, fmt.Errorf("ready condition %q is not tcp:HOST:PORT", s)
		}
		if host == "" {
			addr = net.JoinHostPort("127.0.0.1", port)
		}
		return Condition{Addr: addr}, nil
	case strings.HasPrefix(s, "http://"), strings.HasPrefix(s, "https://"):
		u, err := url.Parse(s)
		if err != nil || u.Host == "" {
			return Condition{}, fmt.Errorf("ready condition %q is not a URL with a host", s)
		}
		return Condition{URL: s}, nil
	}
	return Condition{}, fmt.Errorf("ready condition %q is none of URL, tcp:HOST:PORT, span:NAME", s)
}

// String returns the condition as Parse reads it.
func (c Condition) String() string {
	switch {
	case c.Span != "":
		return "span:" + c.Span
	case c.Addr != "":
		return "tcp:" + c.Addr
	}
	return c.URL
}

// The pause between two probes grows from the first to the last value: a quick start is timed well, a long one costs little.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = 200 * time.Millisecond
	probeLimit = 2 * time.Second // for one probe
)

// Holds probes once, within ctx and two seconds. A span has never arrived.
func (c Condition) Holds(ctx context.Context) bool {
	if c.Span != "" {
		return false
	}
	client := newClient()
	defer client.CloseIdleConnections()
	return c.probe(ctx, client)
}

// Wait probes until the condition holds and returns when that was seen. With stale it holds already, for something else: it
// has to cease before. Wait is for URLs and ports; spans are seen by who receives them. The error is that of ctx.
func (c Condition) Wait(ctx context.Context, stale bool) (time.Time, error) {
	client := newClient()
	defer client.CloseIdleConnections()
	pause := firstPause
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case <-timer.C:
		}
		ok := c.probe(ctx, client)
		now := time.Now()
		if ok && !stale {
			return now, nil
		}
		stale = stale && (ok || ctx.Err() != nil)
		timer.Reset(pause)
		pause = min(pause*3/2, lastPause)
	}
}

func (c Condition) probe(ctx context.Context, client *http.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	if c.URL != "" {
		return c.get(ctx, client)
	}
	return c.dial(ctx)
}

func (c Condition) dial(ctx context.Context) bool {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", c.Addr)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

func (c Condition) get(ctx context.Context, client *http.Client) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is closed in order
	return resp.StatusCode < 400
}

// newClient returns a client for probes: no proxy, one connection a probe so that none is left with the server, and no check of the
// certificate, which is often made for another name than the loopback address.
func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // nothing is sent, only a status is read
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
