package spanfile

import (
	"iter"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

// spanKey identifies a span, also among those of ranks that share ids.
type spanKey struct {
	trace                              otlp.TraceID
	span                               otlp.SpanID
	service, instance, kind, name, run string
	pid                                int
}

func keyOf(s *otlp.Span) spanKey {
	k := spanKey{trace: s.TraceID, span: s.SpanID}
	if p := s.Process; p != nil {
		k.service, k.instance, k.kind, k.name, k.run, k.pid = p.Service, p.InstanceID, p.Kind, p.Name, p.RunID, p.PID
	}
	return k
}

// beginnings are the spans that a run has without an end, and whether it has them with one, too.
type beginnings map[spanKey]bool

func findBeginnings(requests func() iter.Seq2[store.Request, error]) (beginnings, error) {
	begun := beginnings{}
	for request, err := range requests() {
		if err != nil {
			return nil, err
		}
		if !otlp.HasUnfinished(request.Body) {
			continue
		}
		spans, err := otlp.Decode(request.Body)
		if err != nil {
			return nil, err
		}
		for i := range spans {
			if spans[i].End == 0 {
				begun[keyOf(&spans[i])] = false
			}
		}
	}
	if len(begun) == 0 {
		return begun, nil
	}
	for request, err := range requests() {
		if err != nil {
			return nil, err
		}
		spans, err := otlp.Decode(request.Body)
		if err != nil {
			return nil, err
		}
		for i := range spans {
			if spans[i].End == 0 {
				continue
			}
			k := keyOf(&spans[i])
			if _, ok := begun[k]; ok {
				begun[k] = true
			}
		}
	}
	return begun, nil
}

// without returns a request without the beginnings of spans that are there as a whole; nil when nothing is left.
func (b beginnings) without(body []byte) ([]byte, error) {
	if len(b) == 0 || !otlp.HasUnfinished(body) {
		return body, nil
	}
	spans, err := otlp.Decode(body)
	if err != nil {
		return nil, err
	}
	left, kept := make([]bool, len(spans)), 0
	for i := range spans {
		if left[i] = spans[i].End != 0 || !b[keyOf(&spans[i])]; left[i] {
			kept++
		}
	}
	switch kept {
	case 0:
		return nil, nil
	case len(spans):
		return body, nil
	}
	return otlp.Pick(body, func(i int) bool { return left[i] }), nil
}
