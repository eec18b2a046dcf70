package forward

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/internal/endpoint"
	"forkspan.dev/forkspan/internal/otlp"
)

// limited refuses requests of more than some bytes, as servers do, and those with the span "huge" whatever their size.
type limited struct {
	limit    int
	refusal  *failure
	mu       sync.Mutex
	arrived  map[string]int
	requests int
}

func (l *limited) close() {}

func (l *limited) send(_ context.Context, body []byte) (answer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	spans, err := otlp.Decode(body)
	if err != nil {
		return answer{}, err
	}
	for i := range spans {
		if spans[i].Name == "huge" || len(body) > l.limit && len(spans) > 1 {
			return answer{}, l.refusal
		}
	}
	for i := range spans {
		l.arrived[string(spans[i].SpanID[:])]++
	}
	return answer{}, nil
}

// A request that is too large is split down to the one span that is, which becomes a dead letter.
func TestTooLargeIsSplit(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			c, st := forkspantest.NewCollector(t), openStore(t)
			var data, one trace.TracesData
			for body, to := range map[*[]byte]*trace.TracesData{ref(numbered(t, 0, 40, "s")): &data, ref(numbered(t, 100, 1, "huge")): &one} {
				if err := proto.Unmarshal(*body, to); err != nil {
					t.Fatal(err)
				}
			}
			one.ResourceSpans[0].ScopeSpans[0].Spans[0].Attributes = []*common.KeyValue{text("a", strings.Repeat("x", 100))}
			data.ResourceSpans = append(data.ResourceSpans, one.ResourceSpans...)
			body, err := proto.Marshal(&data)
			if err != nil {
				t.Fatal(err)
			}
			put(t, st, "R", body)
			// The fake says the same to all it refuses: here to all with the one span.
			l := &limited{limit: 1 << 20, refusal: tooLargeOf(t, c, protocol), arrived: map[string]int{}}
			b := backendOf(t, c, protocol)
			f := openVia(t, st, b, l)
			got := f.Drain(waiting(t))
			f.Close()
			if got.Sent != 40 || got.Dead != 1 || got.Waiting != 0 || len(l.arrived) != 40 {
				t.Errorf("%+v, %d arrived", got, len(l.arrived))
			}
			for id, n := range l.arrived {
				if n != 1 {
					t.Errorf("span %x came %d times", id, n)
				}
			}
			letters, err := st.DeadLetters(t.Context(), f.route.ID, 0)
			if err != nil || len(letters) != 1 || letters[0].Spans != 1 || letters[0].Access {
				t.Fatalf("%+v, %v", letters, err)
			}
			spans, err := otlp.Decode(letters[0].Body)
			if err != nil || len(spans) != 1 || spans[0].Name != "huge" {
				t.Errorf("dead: %+v, %v", spans, err)
			}
		})
	}
}

// A request is split also when what we make of it is shorter than it was: this one has a field that is empty.
func TestTooLargeWithAnEmptyField(t *testing.T) {
	st := openStore(t)
	var data trace.TracesData
	if err := proto.Unmarshal(append(numbered(t, 0, 8, "s"), numbered(t, 100, 1, "huge")...), &data); err != nil {
		t.Fatal(err)
	}
	var body []byte
	for _, rs := range data.ResourceSpans {
		b, err := proto.Marshal(rs)
		if err != nil {
			t.Fatal(err)
		}
		const schemaURL = 3
		b = protowire.AppendString(protowire.AppendTag(b, schemaURL, protowire.BytesType), "")
		body = protowire.AppendBytes(protowire.AppendTag(body, 1, protowire.BytesType), b)
	}
	put(t, st, "R", body)
	l := &limited{limit: 1 << 20, refusal: &failure{verdict: tooLarge, err: errors.New("too large")}, arrived: map[string]int{}}
	f := openVia(t, st, plain(), l)
	got := f.Drain(waiting(t))
	f.Close()
	if got.Sent != 8 || got.Dead != 1 {
		t.Errorf("%+v", got)
	}
}

func ref(b []byte) *[]byte { return &b }

// tooLargeOf is what a collector of the protocol says to a request that is too large.
func tooLargeOf(t *testing.T, c *forkspantest.Collector, protocol string) *failure {
	t.Helper()
	a := forkspantest.Answer{Status: 413}
	if protocol == endpoint.GRPC {
		a = forkspantest.Answer{Code: codes.ResourceExhausted, Message: "grpc: received message larger than max (5000000 vs. 4194304)"}
	}
	c.Answer(a)
	tr, err := newTransport(backendOf(t, c, protocol))
	if err != nil {
		t.Fatal(err)
	}
	defer tr.close()
	_, err = tr.send(waiting(t), numbered(t, 0, 2, "s"))
	f := judge(err)
	if f.verdict != tooLarge {
		t.Fatalf("%v is verdict %d", err, f.verdict)
	}
	return f
}

// gRPC servers take 4 MiB unless told otherwise: more is not even tried.
func TestLargeRequestsAreSplitBefore(t *testing.T) {
	c, st := forkspantest.NewCollector(t), openStore(t)
	put(t, st, "R", numbered(t, 0, 9, strings.Repeat("x", 1<<20)))
	f := openTo(t, st, backendOf(t, c, endpoint.GRPC), Options{})
	got := f.Drain(waiting(t))
	f.Close()
	if got.Sent != 9 || distinct(c.Spans()) != 9 || len(c.Spans()) != 9 {
		t.Errorf("%+v", got)
	}
	for _, r := range c.Requests() {
		if r.Bytes > maxGRPC {
			t.Errorf("a request of %d bytes", r.Bytes)
		}
	}
}
