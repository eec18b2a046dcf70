package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// soon is how long before its end a certificate is warned of; one that is made for a short time, when a fifth of that is left.
const soon = 14 * 24 * time.Hour

// handshake sets TLS up, and explains why that fails.
func (d *examination) handshake(ctx context.Context, p *prober) bool {
	limited, cancel := part(ctx, 3)
	defer cancel()
	config := p.target.tls.Clone()
	config.ServerName = p.target.where.Host
	state, err := p.shake(limited, config)
	if err == nil {
		leaf := state.PeerCertificates[0]
		if left := time.Until(leaf.NotAfter); left < min(soon, leaf.NotAfter.Sub(leaf.NotBefore)/5) {
			d.add(Network, "certificate-ends-soon", Warning, "the server's certificate ends on "+day(leaf.NotAfter), "renew it")
		}
		d.add(Network, "tls", OK, fmt.Sprintf("%s, certificate of %s, good until %s", tls.VersionName(state.Version),
			certificateName(leaf), day(leaf.NotAfter)), "")
		return true
	}
	seen, _ := p.shake(limited, &tls.Config{InsecureSkipVerify: true, ServerName: config.ServerName}) // to look at it only
	d.explainTLS(ctx, p, err, seen)
	return false
}

// shake connects and does no more than TLS's handshake.
func (p *prober) shake(ctx context.Context, config *tls.Config) (tls.ConnectionState, error) {
	conn, err := p.dial(ctx)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	config = config.Clone()
	own := config.Certificates
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if len(own) > 0 {
			return &own[0], nil
		}
		p.wantsCertificate = true
		return &tls.Certificate{}, nil // none; the server decides
	}
	client := tls.Client(conn, config)
	err = client.HandshakeContext(ctx)
	return client.ConnectionState(), err
}

func (d *examination) explainTLS(ctx context.Context, p *prober, err error, seen tls.ConnectionState) {
	var leaf *x509.Certificate
	if len(seen.PeerCertificates) > 0 {
		leaf = seen.PeerCertificates[0]
	}
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && leaf != nil:
		if time.Now().Before(leaf.NotBefore) {
			d.add(Network, "certificate-not-yet-valid", Problem, "the server's certificate is good from "+day(leaf.NotBefore)+" only",
				"set this machine's clock, which says "+day(time.Now()))
			return
		}
		d.add(Network, "certificate-expired", Problem, fmt.Sprintf("the server's certificate (%s) has expired on %s",
			certificateName(leaf), day(leaf.NotAfter)), "renew the server's certificate; if that date is to come, set this machine's clock")
	case errors.As(err, &host) && leaf != nil:
		d.add(Network, "certificate-name", Problem, fmt.Sprintf("the server's certificate is for %s, not for %s", certificateName(leaf),
			p.target.where.Host), "use one of these names in "+p.target.variable)
	case errors.As(err, &unknown):
		issuer := "its authority"
		if leaf != nil {
			issuer = fmt.Sprintf("%q, which has signed it", leaf.Issuer.String())
		}
		d.add(Network, "certificate-authority", Problem, "the server's certificate is not trusted: "+issuer+", is not known here",
			"OTEL_EXPORTER_OTLP_CERTIFICATE=FILE with the certificate of that authority")
	case p.wantsCertificate:
		d.judgeCertificate(p)
	case leaf == nil:
		d.notTLS(ctx, p, err)
	default:
		d.add(Network, "tls-failed", Problem, "TLS cannot be set up with "+p.name()+": "+cause(err), "")
	}
}

// notTLS explains a port that does not speak TLS.
func (d *examination) notTLS(ctx context.Context, p *prober, err error) {
	for _, protocol := range []string{p.target.protocol, "grpc", "http/protobuf"} {
		if a := p.alternative(ctx, protocol, false); a.speaks {
			hint := "http:// in " + p.target.variable
			if protocol != p.target.protocol {
				hint += "; OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=" + protocol
			}
			d.add(Network, "tls-for-plain", Problem, fmt.Sprintf("%s is asked for TLS, and speaks %s without", p.name(),
				kindOf(protocol, false)), hint)
			return
		}
	}
	if errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		d.add(Network, "endpoint-silent", Problem, p.name()+" accepts connections and says nothing", silentHint)
		return
	}
	d.add(Network, "tls-failed", Problem, fmt.Sprintf("%s does not speak TLS: %s", p.name(), cause(err)), "http:// in "+p.target.variable)
}

func (d *examination) judgeCertificate(p *prober) {
	d.add(Network, "client-certificate-missing", Problem, p.name()+" wants a client's certificate, and none is configured, or not one it takes",
		"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=FILE and OTEL_EXPORTER_OTLP_CLIENT_KEY=FILE")
}

func day(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }

// certificateName is what a certificate is for.
func certificateName(c *x509.Certificate) string {
	names := c.DNSNames
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		names = []string{c.Subject.CommonName}
	}
	const most = 4
	if len(names) > most {
		names = append(names[:most:most], "…")
	}
	return shown(strings.Join(names, ", "))
}
