package forward

import (
	"context"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

// What an interrupted span says of itself, as the library's WithUnfinishedSpans has it.
const (
	unfinishedKey     = "forkspan.unfinished"
	unfinishedMessage = "the process died before the span ended"
)

// maxUnfinished bounds the unfinished spans of a run that are sent.
const maxUnfinished = 1 << 17

// unfinished finds the spans of a run that have begun and not ended.
type unfinished struct {
	open  map[key]bool  // spans without an end, by themselves and their process
	lives map[key]int64 // last sign of life of each process, Unix nanoseconds
	last  int64         // of any
}

// interrupted adds the unfinished spans of a run to what else goes out at its end, among which it looks for some, too. They come
// in requests as they were stored, each span ended at the last sign of life of its process.
func interrupted(ctx context.Context, st *store.Store, run string, others []leftover) (list []leftover, err error) {
	u := unfinished{open: make(map[key]bool), lives: make(map[key]int64)}
	for _, look := range []func(k, process key, s *otlp.Span){u.begins, u.ends} {
		for request, err := range st.Requests(ctx, run) {
			if err != nil {
				return nil, err
			}
			eachSpan(request.Body, look)
		}
		for _, rest := range others {
			eachSpan(rest.body, look)
		}
		if len(u.open) == 0 {
			return others, nil
		}
	}
	list = others
	add := func(id int64, body []byte) error {
		body, err := u.take(body)
		if body != nil {
			list = append(list, leftover{id, body})
		}
		return err
	}
	for request, err := range st.Requests(ctx, run) {
		if err != nil {
			return nil, err
		}
		if err := add(request.ID, request.Body); err != nil {
			return nil, err
		}
	}
	for _, rest := range others {
		if err := add(rest.id-1, rest.body); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// eachSpan calls fn with the spans of a request, and the keys of a span with its process and of the process.
func eachSpan(body []byte, fn func(k, process key, s *otlp.Span)) {
	spans, err := otlp.Decode(body)
	if err != nil {
		return
	}
	processes := make(map[*otlp.Process]key)
	for i := range spans {
		s := &spans[i]
		p, ok := processes[s.Process]
		if !ok {
			p = identify(s.Process).key
			processes[s.Process] = p
		}
		fn(pair(spanKey(s.TraceID, s.SpanID), p), p, s)
	}
}

func (u *unfinished) begins(k, process key, s *otlp.Span) {
	life := max(s.Start, s.End)
	for _, e := range s.Events() {
		life = max(life, e.Time)
	}
	u.lives[process] = max(u.lives[process], life)
	u.last = max(u.last, life)
	if s.End == 0 && len(u.open) < maxUnfinished {
		u.open[k] = true
	}
}

func (u *unfinished) ends(k, _ key, s *otlp.Span) {
	if s.End != 0 {
		delete(u.open, k)
	}
}

// take returns a request with those of its spans that never ended, which are then done; nil when there are none.
func (u *unfinished) take(body []byte) ([]byte, error) {
	var ends []int64 // of each span; 0 for those that are not taken
	some := false
	eachSpan(body, func(k, process key, s *otlp.Span) {
		end := int64(0)
		if s.End == 0 && u.open[k] {
			delete(u.open, k)
			if end = max(s.Start, u.lives[process]); end == s.Start {
				end = max(s.Start, u.last) // nothing else was heard of the process: that of the run
			}
			some = true
		}
		ends = append(ends, end)
	})
	if !some {
		return nil, nil
	}
	ofProcesses := commandspan.OfProcesses(body)
	var data tracepb.TracesData
	if err := proto.Unmarshal(body, &data); err != nil {
		return nil, err
	}
	at := 0
	for _, rs := range data.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			kept := ss.Spans[:0]
			for _, s := range ss.GetSpans() {
				if at < len(ends) && ends[at] != 0 {
					interrupt(s, ends[at])
					if !ofProcesses { // those go on after the run, or nobody saw them end
						s.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: unfinishedMessage}
					}
					kept = append(kept, s)
				}
				at++
			}
			ss.Spans = kept
		}
	}
	return proto.Marshal(&data)
}

func interrupt(s *tracepb.Span, end int64) {
	s.EndTimeUnixNano = uint64(max(1, end))
	s.Attributes = append(s.Attributes, &commonpb.KeyValue{
		Key: unfinishedKey, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}},
	})
}
