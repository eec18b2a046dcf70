package otlp

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"
)

// cutMalformed returns a copy of a request that Scan has walked, without its malformed spans.
func cutMalformed(body []byte) []byte {
	return filter(body, func(_, span []byte) bool {
		var h spanHead
		return h.check(span) == ""
	})
}

// ownScopes begins the names of the instrumentation scopes of this module.
const ownScopes = "forkspan.dev/forkspan/"

// CutUnsampled returns a request that Scan has walked without the spans that are recorded and not sampled, and how many it cut
// out: body itself when there are none. Such spans are for this machine only: those of a proxy or of the middleware whose
// caller does not sample.
//
// Only of spans in scopes of our own do the flags tell: other SDKs leave the W3C flags in Span.flags at 0 for sampled spans
// (opentelemetry-python), and they do not export unsampled ones.
func CutUnsampled(body []byte) (rest []byte, cut int) {
	if !bytes.Contains(body, []byte(ownScopes)) {
		return body, 0
	}
	rest = filter(body, func(scope, span []byte) bool {
		sampled := !bytes.HasPrefix(scope, []byte(ownScopes)) || isSampled(span)
		if !sampled {
			cut++
		}
		return sampled
	})
	if cut == 0 {
		return body, 0
	}
	return rest, cut
}

// isSampled reads the W3C flag of a span that tells its flags; of one without any, nobody knows.
func isSampled(span []byte) bool {
	const sampled = 1
	flags := uint64(sampled)
	fields(span, func(f field) {
		if f.is(spanFlags, protowire.Fixed32Type) {
			flags = f.u
		}
	})
	return flags&sampled != 0
}

// filter returns a copy of a request that Scan has walked, with those spans that keep wants; it is given the name of their
// scope, too.
func filter(body []byte, keep func(scope, span []byte) bool) []byte {
	return rewrite(body, requestResourceSpans, func(to, _, resource []byte) []byte {
		return appendBytes(to, requestResourceSpans, rewrite(resource, resourceSpansScopes, func(to, _, scoped []byte) []byte {
			scope := nameOfScope(scoped)
			return appendBytes(to, resourceSpansScopes, rewrite(scoped, scopeSpansSpans, func(to, raw, span []byte) []byte {
				if !keep(scope, span) {
					return to
				}
				return append(to, raw...)
			}))
		}))
	})
}

// rewrite returns a copy of the message b in which each field num is what replace appends for it, given the field as it lies on
// the wire and its content.
func rewrite(b []byte, num protowire.Number, replace func(to, raw, content []byte) []byte) []byte {
	to := make([]byte, 0, len(b))
	var f field
	for len(b) > 0 {
		n := f.next(b)
		if n < 0 {
			break
		}
		if f.is(num, protowire.BytesType) {
			to = replace(to, b[:n], f.val)
		} else {
			to = append(to, b[:n]...)
		}
		b = b[n:]
	}
	return to
}

func appendBytes(to []byte, num protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, num, protowire.BytesType), content)
}

// nameOfScope reads the name of the scope of a ScopeSpans.
func nameOfScope(scoped []byte) (name []byte) {
	fields(scoped, func(f field) {
		if f.is(scopeSpansScope, protowire.BytesType) {
			fields(f.val, func(f field) {
				if f.is(scopeName, protowire.BytesType) {
					name = f.val
				}
			})
		}
	})
	return name
}

// OnlyTrace returns a copy of a request that Scan has walked, with the spans of one trace only.
func OnlyTrace(body []byte, id TraceID) []byte {
	return filter(body, func(_, span []byte) (keep bool) {
		fields(span, func(f field) {
			if f.is(spanTraceID, protowire.BytesType) {
				keep = string(f.val) == string(id[:])
			}
		})
		return keep
	})
}
