package otlp

// Pick returns a copy of a request that Scan has walked, with those spans that keep wants. It is asked for each by the place
// that the span has in what Decode returns.
func Pick(body []byte, keep func(i int) bool) []byte {
	i := -1
	return filter(body, func(_, _ []byte) bool {
		i++
		return keep(i)
	})
}
