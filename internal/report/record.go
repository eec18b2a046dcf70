package report

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"time"

	"forkspan.dev/forkspan/genai"
	"forkspan.dev/forkspan/internal/otlp"
)

// ids are a span's place in its trace.
type ids struct {
	trace  otlp.TraceID
	span   otlp.SpanID
	parent otlp.SpanID // zero for a root
}

// hash is of the trace and the span; both are random.
func (i *ids) hash() uint64 { return hashIDs(&i.trace, &i.span) }

func hashIDs(trace *otlp.TraceID, span *otlp.SpanID) uint64 {
	h := binary.LittleEndian.Uint64(span[:]) ^ binary.LittleEndian.Uint64(trace[8:])
	return h * 0x9e3779b97f4a7c15 // counting ids spread as well
}

// unset is a latency or count that is not known.
const unset = -1

// record is one request span. It has no pointers: there may be a million.
type record struct {
	ids
	start  int64            // Unix nanoseconds
	times  [latencies]int64 // nanoseconds or unset
	input  int32            // tokens
	output int32
	name   [words]uint32 // places in the set's names
	flags  marks
}

// The latencies of a record, in nanoseconds or unset.
const (
	firstToken = iota
	interToken
	endToEnd
	queue
	prefill
	decode
	latencies
)

// The words of a record; empty where they are not known.
const (
	model = iota
	route
	operation
	failure // how it failed
	words
)

type marks uint8

const (
	vllm       marks = 1 << iota // vLLM's llm_request
	server                       // kind SERVER
	unfinished                   // no end
	streamed
)

// set is request spans with what is needed to join them.
type set struct {
	records []record
	between []ids // spans that are no requests and have a parent
	names   names
}

// names numbers words. The first is "".
type names struct {
	words []string
	place map[string]uint32
}

func (n *names) add(word string) uint32 {
	if at, ok := n.place[word]; ok {
		return at
	}
	if n.place == nil {
		n.place = map[string]uint32{"": 0}
		n.words = []string{""}
		if word == "" {
			return 0
		}
	}
	word = strings.Clone(word) // it may lie in a request's body
	at := uint32(len(n.words))
	n.place[word] = at
	n.words = append(n.words, word)
	return at
}

// addRequest adds the spans of one OTLP request and returns their number.
func (s *set) addRequest(body []byte) (int, error) {
	spans, err := otlp.Decode(body)
	for i := range spans {
		s.add(&spans[i])
	}
	return len(spans), err
}

func (s *set) add(span *otlp.Span) {
	call, ok := genai.ReadCall(span.Each())
	if !ok {
		if span.ParentID != (otlp.SpanID{}) {
			s.between = append(s.between, ids{span.TraceID, span.SpanID, span.ParentID})
		}
		return
	}
	r := record{
		ids:   ids{span.TraceID, span.SpanID, span.ParentID},
		start: span.Start, input: tokens(call.Usage.Input), output: tokens(call.Usage.Output),
	}
	l := &call.Latency
	r.times = [latencies]int64{
		latency(l.FirstToken), latency(l.PerOutputToken), latency(l.Total), latency(l.Queue), latency(l.Prefill), latency(l.Decode),
	}
	if r.times[interToken] == 0 {
		r.times[interToken] = unset // a figure that somebody rounded
	}
	if r.times[endToEnd] == unset && span.End > span.Start {
		r.times[endToEnd] = span.End - span.Start
	}
	asked := call.RequestModel
	if asked == "" {
		asked = call.ResponseModel
	}
	r.name[model] = s.names.add(asked)
	r.name[route] = s.names.add(call.Route)
	r.name[operation] = s.names.add(operationOf(&call))
	r.name[failure] = s.names.add(failureOf(&call, span))
	if call.Dialect == genai.DialectVLLM {
		r.flags |= vllm
	}
	if span.Kind == otlp.KindServer {
		r.flags |= server
	}
	if span.End == 0 {
		r.flags |= unfinished
		r.times = [latencies]int64{unset, unset, unset, unset, unset, unset}
	}
	s.records = append(s.records, r)
}

func latency(d genai.Opt[time.Duration]) int64 {
	if !d.Set {
		return unset
	}
	return d.Value.Nanoseconds()
}

func tokens(n genai.Opt[int64]) int32 {
	if !n.Set {
		return unset
	}
	return int32(min(n.Value, math.MaxInt32))
}

// operationOf returns the call's operation. vLLM's spans do not tell it but for the prefix that the endpoint gave the id.
func operationOf(c *genai.Call) string {
	if c.Operation != "" || c.Dialect != genai.DialectVLLM {
		return c.Operation
	}
	for _, p := range [...]struct{ prefix, operation string }{
		{"chatcmpl-", genai.OperationChat}, {"cmpl-", genai.OperationTextCompletion}, {"embd-", genai.OperationEmbeddings},
		{"resp_", "responses"}, {"classify-", "classify"}, {"pooling-", "pooling"}, {"score-", "score"},
		{"generate-tokens-", "generate"}, {"generative-scoring-", "score"},
	} {
		if strings.HasPrefix(c.RequestID, p.prefix) {
			return p.operation
		}
	}
	return ""
}

// failureOf returns how the request failed; "" when it did not.
func failureOf(c *genai.Call, s *otlp.Span) string {
	switch {
	case c.ErrorType != "":
		return c.ErrorType
	case c.StatusCode >= 400:
		return strconv.Itoa(c.StatusCode)
	case s.Status == otlp.StatusError:
		return "error"
	}
	return ""
}

// addTo adds the words to others, and returns their places there.
func (n *names) addTo(to *names) []uint32 {
	places := make([]uint32, len(n.words))
	for i, word := range n.words {
		places[i] = to.add(word)
	}
	return places
}

// rename makes the words of r those at other places.
func (r *record) rename(places []uint32) {
	for w := range r.name {
		if r.name[w] != 0 {
			r.name[w] = places[r.name[w]]
		}
	}
}
