package forward

import (
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// split cuts a part into some that have no more than atMost bytes or one span. What cannot be cut stays as it is.
func split(p *part, atMost int) []*part {
	if len(p.body) <= atMost || p.spans < 2 {
		return []*part{p}
	}
	var data tracepb.TracesData
	if err := proto.Unmarshal(p.body, &data); err != nil {
		return []*part{p}
	}
	return cut(p.of, &data, int(p.spans), atMost)
}

// pieces cuts a part into some that have no more than most spans each. What cannot be cut stays as it is.
func pieces(p *part, most int64) []*part {
	data := &tracepb.TracesData{}
	if err := proto.Unmarshal(p.body, data); err != nil {
		return []*part{p}
	}
	var parts []*part
	for left := p.spans; left > 0; left -= most {
		head, rest := data, data
		if left > most {
			head, rest = halve(data, int(most))
		}
		body, err := proto.Marshal(head)
		if err != nil {
			return []*part{p}
		}
		parts = append(parts, &part{of: p.of, body: body, spans: min(left, most)})
		data = rest
	}
	return parts
}

// cut encodes the n spans of data in as many parts as it takes.
func cut(of *letter, data *tracepb.TracesData, n, atMost int) []*part {
	if n < 2 || proto.Size(data) <= atMost {
		body, err := proto.Marshal(data)
		if err != nil {
			return nil // it was read from the wire: it can be written
		}
		return []*part{{of: of, body: body, spans: int64(n)}}
	}
	head, tail := halve(data, n/2)
	return append(cut(of, head, n/2, atMost), cut(of, tail, n-n/2, atMost)...)
}

// halve moves the first n spans to one request and the others to another; both have the resources and scopes they need.
func halve(data *tracepb.TracesData, n int) (head, tail *tracepb.TracesData) {
	head, tail = &tracepb.TracesData{}, &tracepb.TracesData{}
	for _, rs := range data.GetResourceSpans() {
		first := &tracepb.ResourceSpans{Resource: rs.GetResource(), SchemaUrl: rs.GetSchemaUrl()}
		rest := &tracepb.ResourceSpans{Resource: rs.GetResource(), SchemaUrl: rs.GetSchemaUrl()}
		for _, ss := range rs.GetScopeSpans() {
			k := min(n, len(ss.GetSpans()))
			n -= k
			first.ScopeSpans = appendScope(first.ScopeSpans, ss, ss.GetSpans()[:k])
			rest.ScopeSpans = appendScope(rest.ScopeSpans, ss, ss.GetSpans()[k:])
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

func appendScope(to []*tracepb.ScopeSpans, ss *tracepb.ScopeSpans, spans []*tracepb.Span) []*tracepb.ScopeSpans {
	if len(spans) == 0 {
		return to
	}
	return append(to, &tracepb.ScopeSpans{Scope: ss.GetScope(), SchemaUrl: ss.GetSchemaUrl(), Spans: spans})
}
