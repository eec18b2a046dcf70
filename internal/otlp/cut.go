package otlp

import "google.golang.org/protobuf/encoding/protowire"

// cutSpans returns a copy of a request that Scan has walked, without its malformed spans.
func cutSpans(body []byte) []byte {
	return rewrite(make([]byte, 0, len(body)), body, requestResourceSpans, func(to, b []byte) []byte {
		return rewrite(to, b, resourceSpansScopes, func(to, b []byte) []byte {
			return rewrite(to, b, scopeSpansSpans, nil)
		})
	})
}

// rewrite appends the message b to to. Each field num goes through inner, which appends its new content; with a nil inner the
// field is a span, which is left out when it is malformed.
func rewrite(to, b []byte, num protowire.Number, inner func(to, b []byte) []byte) []byte {
	var f field
	for len(b) > 0 {
		n := f.next(b)
		if n < 0 {
			break
		}
		raw := b[:n]
		b = b[n:]
		switch {
		case !f.is(num, protowire.BytesType):
			to = append(to, raw...)
		case inner != nil:
			to = protowire.AppendTag(to, num, protowire.BytesType)
			to = protowire.AppendBytes(to, inner(nil, f.val))
		default:
			if h := (spanHead{}); h.check(f.val) == "" {
				to = append(to, raw...)
			}
		}
	}
	return to
}
