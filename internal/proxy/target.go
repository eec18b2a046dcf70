package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// ParseUpstream reads the address of a server: a URL, host:port, or a port of this machine.
func ParseUpstream(s string) (*url.URL, error) {
	full := s
	switch {
	case isPort(s):
		full = "http://127.0.0.1:" + s
	case strings.HasPrefix(s, ":") && isPort(s[1:]):
		full = "http://127.0.0.1" + s
	case !strings.Contains(s, "://"):
		full = "http://" + s
	}
	u, err := url.Parse(full)
	switch {
	case err != nil:
		err = errors.Unwrap(err) // without the URL, which may hold a password
	case u.Scheme != "http" && u.Scheme != "https":
		err = fmt.Errorf("scheme %q: only http and https", u.Scheme)
	case u.Hostname() == "":
		err = errors.New("no host")
	case u.RawQuery != "" || u.Fragment != "":
		err = errors.New("a query or fragment has no place in it")
	}
	if err != nil {
		return nil, fmt.Errorf("read the server's address: %w", err)
	}
	return u, nil
}

// ParsePair reads LISTEN:UPSTREAM, in docker's order: where to listen (a port, or host:port), then the server.
//
//	8001:8000
//	4319:http://10.0.0.7:8000
//	127.0.0.1:4319:localhost:8000
//	[::1]:4319:https://example.com/base
func ParsePair(s string) (listen string, upstream *url.URL, err error) {
	listen, rest, err := cutListen(s)
	if err != nil {
		return "", nil, err
	}
	upstream, err = ParseUpstream(rest)
	return listen, upstream, err
}

var errPair = errors.New("read LISTEN:UPSTREAM: want a port or host:port to listen on, a colon, and the server's address")

func cutListen(s string) (listen, rest string, err error) {
	host, rest := "127.0.0.1", s
	if first, _, _ := strings.Cut(s, ":"); !isPort(first) {
		i := strings.IndexByte(s, ':')
		if strings.HasPrefix(s, "[") {
			i = strings.Index(s, "]:") + 1
		}
		if i <= 0 {
			return "", "", errPair
		}
		host, rest = strings.Trim(s[:i], "[]"), s[i+1:]
	}
	port, rest, ok := strings.Cut(rest, ":")
	if !ok || !isPort(port) || rest == "" {
		return "", "", errPair
	}
	return net.JoinHostPort(host, port), rest, nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == s
}
