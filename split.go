package forkspan

import (
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// maxRequest is the size of a request in bytes above which it is cut in two: what gRPC servers, and with them collectors,
// take by default. A collector refuses a longer one as a whole, so that a few big spans would cost a whole batch.
const maxRequest = 4 << 20

// split cuts a request into some that are not too long. A single span that is too long stays one.
func split(req *tracepb.TracesData) []*tracepb.TracesData {
	n := countSpans(req)
	if n < 2 || proto.Size(req) <= maxRequest {
		return []*tracepb.TracesData{req}
	}
	head, tail := halve(req, n/2)
	return append(split(head), split(tail)...)
}

func countSpans(req *tracepb.TracesData) (n int) {
	for _, rs := range req.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			n += len(ss.Spans)
		}
	}
	return n
}

// halve moves the first n spans to one request and the others to another; both have the resources and scopes they need.
func halve(req *tracepb.TracesData, n int) (head, tail *tracepb.TracesData) {
	head, tail = &tracepb.TracesData{}, &tracepb.TracesData{}
	for _, rs := range req.ResourceSpans {
		first := &tracepb.ResourceSpans{Resource: rs.Resource, SchemaUrl: rs.SchemaUrl}
		rest := &tracepb.ResourceSpans{Resource: rs.Resource, SchemaUrl: rs.SchemaUrl}
		for _, ss := range rs.ScopeSpans {
			k := min(n, len(ss.Spans))
			n -= k
			first.ScopeSpans = addSpans(first.ScopeSpans, ss, ss.Spans[:k])
			rest.ScopeSpans = addSpans(rest.ScopeSpans, ss, ss.Spans[k:])
		}
		if len(first.ScopeSpans) > 0 {
			head.ResourceSpans = append(head.ResourceSpans, first)
		}
		if len(rest.ScopeSpans) > 0 {
			tail.ResourceSpans = append(tail.ResourceSpans, rest)
		}
	}
	return head, tail
}

// addSpans adds spans of the scope of ss, if there are any.
func addSpans(to []*tracepb.ScopeSpans, ss *tracepb.ScopeSpans, spans []*tracepb.Span) []*tracepb.ScopeSpans {
	if len(spans) == 0 {
		return to
	}
	return append(to, &tracepb.ScopeSpans{Scope: ss.Scope, SchemaUrl: ss.SchemaUrl, Spans: spans})
}
