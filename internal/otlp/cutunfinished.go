package otlp

import "google.golang.org/protobuf/encoding/protowire"

// CutUnfinished returns a request that Scan has walked without the spans that have no end, and how many it cut out: body itself
// when there are none.
func CutUnfinished(body []byte) (rest []byte, cut int) {
	unfinished := 0
	visitSpans(body, func(span []byte) {
		if !hasEnd(span) {
			unfinished++
		}
	})
	if unfinished == 0 {
		return body, 0
	}
	return filter(body, func(_, span []byte) bool { return hasEnd(span) }), unfinished
}

// HasUnfinished tells whether a request that Scan has walked has spans without an end.
func HasUnfinished(body []byte) (some bool) {
	visitSpans(body, func(span []byte) { some = some || !hasEnd(span) })
	return some
}

func hasEnd(span []byte) bool {
	var end uint64
	fields(span, func(f field) {
		if f.is(spanEnd, protowire.Fixed64Type) {
			end = f.u
		}
	})
	return end != 0
}

// visitSpans calls fn with each span of a request.
func visitSpans(body []byte, fn func(span []byte)) {
	fields(body, func(f field) {
		if f.is(requestResourceSpans, protowire.BytesType) {
			fields(f.val, func(f field) {
				if f.is(resourceSpansScopes, protowire.BytesType) {
					fields(f.val, func(f field) {
						if f.is(scopeSpansSpans, protowire.BytesType) {
							fn(f.val)
						}
					})
				}
			})
		}
	})
}
