package doctor

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// proxy is the proxy that Go's exporters use for a target; nil for none.
func (d *examination) proxy(t *target) *url.URL {
	if t.where.Target != "" {
		return nil
	}
	u := &url.URL{Scheme: "http", Host: t.where.HostPort("")}
	if t.where.Secure || t.protocol == "grpc" { // gRPC tunnels through the proxy for https
		u.Scheme = "https"
	}
	config := d.proxyConfig()
	proxy, err := config.ProxyFunc()(u)
	if err != nil {
		d.add(Network, "proxy-malformed", Problem, "a proxy variable cannot be read: "+cause(err), "HTTPS_PROXY=http://HOST:PORT")
		return nil
	}
	return proxy
}

func (d *examination) proxyConfig() *httpproxy.Config {
	config := &httpproxy.Config{}
	_, config.HTTPProxy = d.env.first("HTTP_PROXY", "http_proxy")
	_, config.HTTPSProxy = d.env.first("HTTPS_PROXY", "https_proxy")
	_, config.NoProxy = d.env.first("NO_PROXY", "no_proxy")
	return config
}

// proxyVariable is the one that names a proxy, for hints.
func (d *examination) proxyVariable(proxy *url.URL) string {
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "grpc_proxy"} {
		if value, _ := d.env.lookup(name); value != "" && (proxy == nil || strings.Contains(value, proxy.Host)) {
			return name
		}
	}
	return "the proxy variable"
}

// throughProxy asks through the proxy, and directly where that fails.
func (d *examination) throughProxy(ctx context.Context, p *prober) {
	variable := d.proxyVariable(p.proxy)
	limited, cancel := part(ctx, 2)
	a := p.send(limited, p.target.protocol, p.secure, nil)
	cancel()
	if a.taken {
		d.add(Network, "proxy", Info, fmt.Sprintf("%s: requests go through the proxy %s", variable, p.proxy.Host), "")
		d.judge(ctx, p, a)
		return
	}
	direct := *p
	direct.proxy = nil
	limited, cancel = part(ctx, 2)
	b := direct.send(limited, p.target.protocol, p.secure, nil)
	cancel()
	without := "without the proxy it cannot be reached either"
	if b.speaks {
		without = "without the proxy it answers"
	}
	d.add(Network, "proxy-in-the-way", Problem, fmt.Sprintf("%s sends requests for %s through the proxy %s, and that fails: %s; %s",
		variable, p.name(), p.proxy.Host, outcome(a), without), "NO_PROXY="+p.target.where.Host+", also as no_proxy")
}

// warnOfLoopbackProxy tells of proxies that Go's exporters go past and others do not.
func (d *examination) warnOfLoopbackProxy(t *target) {
	variable, _ := d.env.first("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
	if t.where.Secure {
		variable, _ = d.env.first("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
	}
	address, err := netip.ParseAddr(t.where.Host)
	if variable == "" || t.where.Host != "localhost" && (err != nil || !address.IsLoopback()) {
		return
	}
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		list, _ := d.env.lookup(name)
		for item := range strings.SplitSeq(list, ",") {
			if item = strings.TrimSpace(item); item == "*" || item == t.where.Host {
				return
			}
		}
	}
	d.add(Network, "proxy-loopback", Warning, fmt.Sprintf("%s is set and NO_PROXY does not name %s: SDKs in Python and others send "+
		"their spans to the proxy", variable, t.where.Host), "NO_PROXY="+t.where.Host+", also as no_proxy")
}

// dialThrough makes a tunnel through the proxy (RFC 9110, section 9.3.6).
func (p *prober) dialThrough(ctx context.Context) (net.Conn, error) {
	port := p.proxy.Port()
	if port == "" {
		port = "80"
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(p.proxy.Hostname(), port))
	if err != nil {
		return nil, fmt.Errorf("dial proxy: %w", err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: p.address}, Host: p.address, Header: http.Header{}}
	if p.proxy.User != nil {
		password, _ := p.proxy.User.Password()
		credentials := base64.StdEncoding.EncodeToString([]byte(p.proxy.User.Username() + ":" + password))
		request.Header.Set("Proxy-Authorization", "Basic "+credentials)
	}
	err = request.Write(conn)
	var resp *http.Response
	if err == nil {
		resp, err = http.ReadResponse(bufio.NewReader(conn), request)
	}
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New("the proxy answers " + resp.Status)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}
