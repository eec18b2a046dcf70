package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"forkspan.dev/forkspan/internal/endpoint"
)

// examineNetwork goes the way to the endpoint, and stops where it ends.
func (d *examination) examineNetwork(ctx context.Context) {
	t := d.target
	if t == nil {
		return
	}
	p := &prober{target: t, address: d.address(t), secure: t.where.Secure}
	if _, isSocket := t.where.Socket(); t.where.Target != "" && !isSocket {
		d.add(Network, "target", Info, "the way to a gRPC target is not looked at: "+shown(t.where.Target), "")
		return
	}
	if proxy := d.proxy(t); proxy != nil {
		p.proxy = proxy
		d.throughProxy(ctx, p)
		return
	}
	d.warnOfLoopbackProxy(t)
	if d.resolveName(ctx, t) && d.dial(ctx, p) {
		d.ask(ctx, p)
	}
}

// address is what to dial.
func (d *examination) address(t *target) string {
	def := endpoint.PortGRPC
	switch {
	case t.protocol == endpoint.GRPC:
	case t.where.Bare:
		def = endpoint.PortHTTP
	case t.where.Secure:
		def = "443"
	default:
		def = "80"
	}
	return t.where.HostPort(def)
}

// resolveName looks the host up.
func (d *examination) resolveName(ctx context.Context, t *target) bool {
	host := t.where.Host
	if _, err := netip.ParseAddr(host); err == nil || t.where.Target != "" {
		return true
	}
	ctx, cancel := part(ctx, 3)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err == nil {
		d.add(Network, "name", OK, host+" is "+strings.Join(addresses[:min(3, len(addresses))], ", "), "")
		return true
	}
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		d.add(Network, "name-unknown", Problem, fmt.Sprintf("there is no host %q", host),
			"check the name in "+t.variable+"; names of containers and services are known in their own network only")
	default:
		d.add(Network, "name-failed", Problem, fmt.Sprintf("the name %q could not be looked up: %s", host, cause(err)),
			"the name server does not answer: check the network of this machine")
	}
	return false
}

// dial connects once.
func (d *examination) dial(ctx context.Context, p *prober) bool {
	limited, cancel := part(ctx, 3)
	defer cancel()
	began := time.Now()
	conn, err := p.dial(limited)
	if err == nil {
		_ = conn.Close()
		d.add(Network, "connect", OK, fmt.Sprintf("something listens at %s (%s)", p.name(), roundTrip(began)), "")
		return true
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		text, hint := "nothing listens at "+p.name()+": connection refused", "start the collector, or correct "+p.target.variable
		if other := p.elsewhere(ctx); other != "" {
			text, hint = text+"; "+other, "correct the port in "+p.target.variable
		}
		d.add(Network, "endpoint-refused", Problem, text, hint)
	case errors.Is(err, context.DeadlineExceeded) || isTimeout(err):
		d.add(Network, "endpoint-timeout", Problem, p.name()+" does not answer: the connection is not accepted in time",
			"a firewall or security group drops it, or the address is wrong")
	default:
		d.add(Network, "endpoint-unreachable", Problem, fmt.Sprintf("%s cannot be reached: %s", p.name(), cause(err)), "")
	}
	return false
}

// elsewhere looks for OTLP at the standard ports of a host whose given port is closed.
func (p *prober) elsewhere(ctx context.Context) string {
	for _, port := range []string{endpoint.PortGRPC, endpoint.PortHTTP} {
		if p.target.where.Port == port || p.target.where.Target != "" {
			continue
		}
		other := *p
		other.address = net.JoinHostPort(p.target.where.Host, port)
		for _, protocol := range []string{endpoint.GRPC, endpoint.HTTP} {
			if a := other.alternative(ctx, protocol, p.secure); a.speaks {
				return fmt.Sprintf("%s answers at port %s", kindOf(protocol, p.secure), port)
			}
		}
	}
	return ""
}

// ask sends an empty request the way an exporter would, and finds out why it is not taken.
func (d *examination) ask(ctx context.Context, p *prober) {
	if p.secure && !d.handshake(ctx, p) {
		return
	}
	limited, cancel := part(ctx, 2)
	a := p.send(limited, p.target.protocol, p.secure, nil)
	cancel()
	if a.speaks {
		d.judge(ctx, p, a)
		return
	}
	if a.status != 0 && a.status != http.StatusBadRequest || p.certificateWanted(a.err) {
		d.judge(ctx, p, a)
		return
	}
	// Not OTLP as it was spoken: perhaps in another way.
	type way struct {
		protocol string
		secure   bool
	}
	same := p.target.protocol
	other := endpoint.GRPC
	if same == endpoint.GRPC {
		other = endpoint.HTTP
	}
	ways := []way{{other, p.secure}, {same, !p.secure}, {other, !p.secure}}
	answers := make([]answer, len(ways))
	done := make(chan int, len(ways))
	for i, w := range ways {
		go func() {
			answers[i] = p.alternative(ctx, w.protocol, w.secure)
			done <- i
		}()
	}
	for range ways {
		<-done
	}
	i := slices.IndexFunc(answers, func(a answer) bool { return a.speaks })
	if i < 0 {
		d.judge(ctx, p, a)
		return
	}
	w := ways[i]
	id, hints := "protocol-mismatch", []string{}
	if w.secure != p.secure {
		id = "plain-for-tls"
		scheme := "https://"
		if !w.secure {
			id, scheme = "tls-for-plain", "http://"
		}
		hints = append(hints, scheme+" in "+p.target.variable)
	}
	if w.protocol != same {
		hints = append(hints, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="+w.protocol+usualPort(same, p.target.where.Port))
	}
	d.add(Network, id, Problem, fmt.Sprintf("%s is sent to %s, where %s answers", kindOf(same, p.secure), p.name(),
		kindOf(w.protocol, w.secure)), strings.Join(hints, "; "))
}

// usualPort names the port of a protocol where another is used.
func usualPort(protocol, port string) string {
	usual := endpoint.PortHTTP
	if protocol == endpoint.GRPC {
		usual = endpoint.PortGRPC
	}
	if port == usual {
		return ""
	}
	return ", or port " + usual + " for " + kindOf(protocol, false)
}

// kindOf is a protocol in words.
func kindOf(protocol string, secure bool) string {
	name := "OTLP/HTTP"
	if protocol == endpoint.GRPC {
		name = "OTLP/gRPC"
	}
	if secure {
		return name + " over TLS"
	}
	return name
}

// part is a part of the time that is left.
func part(ctx context.Context, parts int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(parts))
}

func roundTrip(began time.Time) string {
	return time.Since(began).Round(10 * time.Microsecond).String()
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// cause is the innermost error, which says what happened without the addresses that the outer ones repeat.
func cause(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return shown(strings.Join(strings.Fields(err.Error()), " "))
		}
		err = inner
	}
}
