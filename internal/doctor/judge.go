package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/endpoint"
)

const silentHint = "it hangs, or is no OTLP receiver: look at its log"

// judge tells what an answer to the configured request means.
func (d *examination) judge(ctx context.Context, p *prober, a answer) {
	d.compareClocks(a)
	kind := kindOf(p.target.protocol, p.secure)
	switch {
	case a.taken:
		d.add(Network, "answer", OK, fmt.Sprintf("%s takes traces (%s)", kind, a.took.Round(10*time.Microsecond)), "")
		if d.Send {
			d.sendSpan(ctx, p)
		}
	case p.certificateWanted(a.err):
		d.judgeCertificate(p)
	case errors.Is(a.err, context.DeadlineExceeded) || a.err != nil && isTimeout(a.err):
		d.add(Network, "endpoint-silent", Problem, p.name()+" accepts the connection and does not answer", silentHint)
	case a.err != nil:
		d.add(Network, "not-otlp", Problem, fmt.Sprintf("%s does not speak %s: %s", p.name(), kind, cause(a.err)),
			"is there another service at this port?")
	case p.target.protocol == endpoint.GRPC:
		d.judgeCode(a)
	default:
		d.judgeStatus(ctx, p, a)
	}
}

const credentialsHint = "the key goes into OTEL_EXPORTER_OTLP_HEADERS=name=value; check the name that the backend wants"

func (d *examination) judgeCode(a answer) {
	said := quoteAnswer(a.message)
	switch a.code {
	case codes.Unauthenticated:
		d.add(Network, "unauthorized", Problem, "the backend does not know us: Unauthenticated"+said, credentialsHint)
	case codes.PermissionDenied:
		d.add(Network, "forbidden", Problem, "the backend refuses our credentials: PermissionDenied"+said, credentialsHint)
	case codes.Unimplemented:
		d.add(Network, "no-traces", Problem, "the server speaks gRPC and takes no traces: Unimplemented"+said,
			"enable OTLP traces in it, or correct the endpoint")
	case codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded, codes.Aborted:
		d.add(Network, "busy", Warning, "the backend takes nothing at present: "+a.code.String()+said, "")
	default:
		d.add(Network, "refused", Problem, "the backend refuses an empty request: "+a.code.String()+said, "")
	}
}

func (d *examination) judgeStatus(ctx context.Context, p *prober, a answer) {
	said := ""
	if strings.HasPrefix(a.kind, "text/plain") {
		said = quoteAnswer(string(a.body))
	}
	text := fmt.Sprintf("status %d", a.status)
	switch {
	case a.status == http.StatusUnauthorized:
		d.add(Network, "unauthorized", Problem, "the backend does not know us: "+text+said, credentialsHint)
	case a.status == http.StatusForbidden:
		d.add(Network, "forbidden", Problem, "the backend refuses our credentials: "+text+said, credentialsHint)
	case a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed:
		d.judgePath(ctx, p, text)
	case a.status/100 == 3:
		d.add(Network, "redirect", Problem, fmt.Sprintf("%s: traces are elsewhere, at %s, and exporters do not follow", text,
			shownEndpoint(a.location)), "put that into "+p.target.variable)
	case a.status == http.StatusUnsupportedMediaType:
		d.add(Network, "media-type", Problem, text+": the backend does not take "+p.target.protocol,
			"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf")
	case a.status == http.StatusProxyAuthRequired:
		d.add(Network, "proxy-credentials", Problem, text+": the proxy wants credentials", "http://USER:PASSWORD@HOST:PORT in the proxy variable")
	case a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable || a.status == http.StatusBadGateway ||
		a.status == http.StatusGatewayTimeout:
		d.add(Network, "busy", Warning, "the backend takes nothing at present: "+text+said, "")
	case a.status/100 == 2:
		d.add(Network, "not-otlp", Problem, fmt.Sprintf("%s answers with %s: that is no OTLP receiver", p.name(), quoteAnswer(a.kind)),
			"correct the host, port and path in "+p.target.variable)
	default:
		d.add(Network, "refused", Problem, "the backend refuses an empty request: "+text+said, "")
	}
}

// judgePath looks for the path that the backend takes traces at.
func (d *examination) judgePath(ctx context.Context, p *prober, text string) {
	path := p.target.url.Path
	const standard = "/v1/traces"
	candidates := []string{standard}
	if trimmed := strings.TrimRight(path, "/"); strings.HasSuffix(trimmed, standard+standard) {
		candidates = append(candidates, strings.TrimSuffix(trimmed, standard))
	} else if !strings.HasSuffix(trimmed, standard) {
		candidates = append(candidates, trimmed+standard)
	}
	hint := "see the backend's manual for its path"
	for _, candidate := range candidates {
		u := *p.target.url
		u.Path, u.RawPath = candidate, ""
		config := p.target.tls.Clone()
		config.ServerName = p.target.where.Host
		limited, cancel := part(ctx, 3)
		a := p.sendHTTP(limited, p.target.protocol, &u, config, nil)
		cancel()
		if a.taken {
			hint = fmt.Sprintf("%s answers: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=%s", candidate, shownEndpoint(u.String()))
			break
		}
	}
	d.add(Network, "wrong-path", Problem, fmt.Sprintf("%s: %s takes no traces at the path %s", text, p.name(), shown(path)), hint)
}

// compareClocks compares ours with the server's, which tells whole seconds.
func (d *examination) compareClocks(a answer) {
	if a.date.IsZero() {
		return
	}
	const tolerance = 2 * time.Second
	there := a.date.Add(500 * time.Millisecond)
	off := a.sent.Add(a.took / 2).Sub(there)
	if off.Abs() <= tolerance+500*time.Millisecond {
		d.add(Network, "clock", OK, "the clocks here and there agree within "+tolerance.String(), "")
		return
	}
	which := "ahead of"
	if off < 0 {
		which = "behind"
	}
	d.add(Network, "clock-skew", Warning, fmt.Sprintf("this machine's clock is %s %s the server's", off.Abs().Round(time.Second), which),
		"synchronise both (chrony, systemd-timesyncd); spans of two machines are shifted by as much")
}

// sendSpan sends one span, so that it can be looked for in the backend.
func (d *examination) sendSpan(ctx context.Context, p *prober) {
	now := time.Now()
	span := commandspan.Span{Name: "forkspan doctor", Sampled: true, Start: now.Add(-time.Millisecond).UnixNano(), End: now.UnixNano()}
	_, _ = rand.Read(span.TraceID[:]) // never fails
	_, _ = rand.Read(span.SpanID[:])
	resource := commandspan.Resource(d.env.lookup, "forkspan-doctor", "")
	limited, cancel := part(ctx, 2)
	defer cancel()
	a := p.send(limited, p.target.protocol, p.secure, commandspan.Encode(resource, d.Version, span))
	rejected, why := partialSuccess(p.target.protocol, a.body)
	switch {
	case !a.taken:
		d.add(Network, "span-refused", Problem, fmt.Sprintf("an empty request is taken, a span is not: %s%s", outcome(a), quoteAnswer(a.message)), "")
	case rejected > 0:
		d.add(Network, "span-rejected", Problem, "the backend took the request and rejected the span"+quoteAnswer(why), "")
	default:
		d.add(Network, "span", OK, fmt.Sprintf("a test span was taken (%s): trace %x", a.took.Round(10*time.Microsecond), span.TraceID), "")
	}
}

func outcome(a answer) string {
	switch {
	case a.err != nil:
		return cause(a.err)
	case a.status != 0:
		return fmt.Sprintf("status %d", a.status)
	}
	return a.code.String()
}

// partialSuccess reads an ExportTraceServiceResponse. Of JSON, which few backends answer with, nothing is known.
func partialSuccess(protocol string, body []byte) (rejected int64, message string) {
	if protocol == endpoint.JSON {
		return 0, ""
	}
	for len(body) > 0 {
		num, typ, n := protowire.ConsumeTag(body)
		if n < 0 {
			return rejected, message
		}
		body = body[n:]
		if num == 1 && typ == protowire.BytesType {
			partial, n := protowire.ConsumeBytes(body)
			if n < 0 {
				return rejected, message
			}
			body = append([]byte(nil), partial...) // its fields 1 and 2 follow
			for len(body) > 0 {
				num, typ, n := protowire.ConsumeTag(body)
				if n < 0 {
					return rejected, message
				}
				body = body[n:]
				switch {
				case num == 1 && typ == protowire.VarintType:
					v, _ := protowire.ConsumeVarint(body)
					rejected = int64(v)
				case num == 2 && typ == protowire.BytesType:
					v, _ := protowire.ConsumeBytes(body)
					message = string(v)
				}
				if n = protowire.ConsumeFieldValue(num, typ, body); n < 0 {
					return rejected, message
				}
				body = body[n:]
			}
			return rejected, message
		}
		if n = protowire.ConsumeFieldValue(num, typ, body); n < 0 {
			return rejected, message
		}
		body = body[n:]
	}
	return rejected, message
}
