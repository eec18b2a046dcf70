package forward

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// gate is a transport that knows what is under way, and that stops to answer after some requests.
type gate struct {
	most int // requests that are answered; 0 for all

	mu      sync.Mutex
	done    chan struct{} // closed when want spans were taken, or when one is not answered
	want    int
	tries   int
	flying  int64
	taken   map[string]int
	amount  int64
	tooMany []int64 // more under way than there may be
}

func newGate(want, most int) *gate {
	return &gate{want: want, most: most, done: make(chan struct{}), taken: make(map[string]int)}
}

func (g *gate) close() {}

func (g *gate) send(ctx context.Context, body []byte) (answer, error) {
	var data trace.TracesData
	if err := proto.Unmarshal(body, &data); err != nil {
		return answer{}, &failure{verdict: refused, err: err}
	}
	var ids []string
	for _, rs := range data.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				ids = append(ids, string(s.SpanId))
			}
		}
	}
	n := int64(len(ids))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tries++
	if g.flying += n; g.flying > max(leastAloft, g.amount/aloftShare) {
		g.tooMany = append(g.tooMany, g.flying)
	}
	if g.most > 0 && g.tries > g.most {
		if g.tries == g.most+1 {
			close(g.done)
		}
		g.mu.Unlock()
		<-ctx.Done()
		g.mu.Lock()
		return answer{}, ctx.Err()
	}
	for _, id := range ids {
		g.taken[id]++
	}
	g.flying -= n
	g.amount += n
	if len(g.taken) == g.want {
		close(g.done)
	}
	return answer{}, nil
}

func (g *gate) wait(t *testing.T) {
	t.Helper()
	select {
	case <-g.done:
	case <-waiting(t).Done():
		t.Fatal("it does not go on")
	}
}

// However large the requests, no more spans are under way than a hundredth of those that were taken.
func TestLittleIsUnderWay(t *testing.T) {
	st := openStore(t)
	g := newGate(fill(t, st, "R", 0, 30, 512), 0)
	f := openVia(t, st, plain(), g)
	g.wait(t)
	f.Drain(waiting(t))
	if got := f.Close(); got.Sent != int64(g.want) || got.Waiting != 0 {
		t.Errorf("%+v", got)
	}
	if len(g.tooMany) > 0 {
		t.Errorf("%d were under way", g.tooMany)
	}
}

// A forwarder that ends in the middle of a request is followed by one that sends the rest of it.
func TestRestOfARequest(t *testing.T) {
	st := openStore(t)
	n := fill(t, st, "R", 0, 2, 300)
	taken := map[string]int{}
	for round := 1; len(taken) < n; round++ {
		g := newGate(n-len(taken), 7)
		f := openVia(t, st, plain(), g)
		g.wait(t)
		left := f.Close().Waiting
		for id, times := range g.taken {
			taken[id] += times
		}
		if left != int64(n-len(taken)) {
			t.Errorf("round %d: %d wait, %d were not taken", round, left, n-len(taken))
		}
		if round > n {
			t.Fatal("it does not go on")
		}
	}
	for id, times := range taken {
		if times != 1 {
			t.Errorf("span %x came %d times", id, times)
		}
	}
}

// What had no answer may have been taken: little is under way again. What was turned down has not been taken.
func TestPaceAfterFailures(t *testing.T) {
	p := &Pace{calm: 100_000}
	l := &loop{Forwarder: &Forwarder{}, pace: p}
	part := &part{of: &letter{request: 1}, spans: 1}
	l.take(t.Context(), result{part: part, err: busy(0).err})
	if p.most() != 1000 {
		t.Errorf("after a refusal %d", p.most())
	}
	l.take(t.Context(), result{part: part, err: errors.New("connection reset by peer")})
	if p.most() != leastAloft {
		t.Errorf("after no answer %d", p.most())
	}
}

// A pause that the backend has asked for is not ended by an answer to what was under way at the time.
func TestPauseOutlivesOtherAnswers(t *testing.T) {
	l := &loop{Forwarder: &Forwarder{}, pace: new(Pace)}
	l.take(t.Context(), result{part: &part{of: &letter{request: 1, parts: 1}, spans: 1}, err: busy(time.Hour).err})
	asked := l.pause
	l.take(t.Context(), result{part: &part{of: &letter{request: 2, parts: 1}, spans: 1}})
	if l.pause != asked || time.Until(l.pause) < 59*time.Minute {
		t.Errorf("the pause is over in %v", time.Until(l.pause))
	}
}
