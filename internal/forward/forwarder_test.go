package forward

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/internal/endpoint"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

// patience bounds waits for what must come.
const patience = time.Minute

func waiting(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// soon is for what cannot be sent: the time that a drain gives up after.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func openStore(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "forkspan.db"), store.Options{Notify: func(msg string) { t.Error(msg) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// numbered makes a request of spans with the numbers from first on, in two resources where there are several.
func numbered(t testing.TB, first, n int, name string) []byte {
	t.Helper()
	var data trace.TracesData
	for i := range n {
		if i == 0 || i == n/2 {
			data.ResourceSpans = append(data.ResourceSpans, &trace.ResourceSpans{ScopeSpans: []*trace.ScopeSpans{{}}})
		}
		id := binary.BigEndian.AppendUint64(nil, uint64(first+i+1))
		to := data.ResourceSpans[len(data.ResourceSpans)-1].ScopeSpans[0]
		to.Spans = append(to.Spans, &trace.Span{
			TraceId: append([]byte("trace id"), id...), SpanId: id, Name: name, StartTimeUnixNano: 1, EndTimeUnixNano: 2,
		})
	}
	body, err := proto.Marshal(&data)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func put(t testing.TB, st *store.Store, run string, body []byte) {
	t.Helper()
	clean, sum, rejected, reason, err := otlp.Scan(body)
	if err == nil && rejected > 0 {
		err = errors.New(reason)
	}
	if err == nil {
		err = st.Append(context.Background(), run, clean, sum)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// fill stores requests of some spans each and returns how many spans there are.
func fill(t testing.TB, st *store.Store, run string, first, requests, spans int) int {
	t.Helper()
	for i := range requests {
		put(t, st, run, numbered(t, first+i*spans, spans, "s"))
	}
	return requests * spans
}

func backendOf(t *testing.T, c *forkspantest.Collector, protocol string, more ...string) *Backend {
	t.Helper()
	b, err := FromEnviron(environment(append([]string{"ENDPOINT=" + c.Endpoint(), "PROTOCOL=" + protocol}, more...)...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func openTo(t *testing.T, st *store.Store, b *Backend, opts Options) *Forwarder {
	t.Helper()
	if opts.Run == "" {
		opts.Run = "R"
	}
	f, err := Open(t.Context(), st, b, opts)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// openVia is openTo with the test's own transport.
func openVia(t *testing.T, st *store.Store, b *Backend, by transport) *Forwarder {
	t.Helper()
	route, err := st.PutRoute(t.Context(), "R", b.Target(), "{}", false)
	if err != nil {
		t.Fatal(err)
	}
	f, err := open(t.Context(), st, route, b, by, Options{Run: "R"})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// What a cap removes before it was sent is counted.
func TestRemovedBeforeItWasSent(t *testing.T) {
	c := forkspantest.NewCollector(t)
	c.AnswerAll(forkspantest.Answer{Status: 503})
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "forkspan.db"), store.Options{MaxBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	f := openTo(t, st, backendOf(t, c, endpoint.HTTP), Options{})
	noise := rand.NewChaCha8([32]byte{1})
	const requests = 60
	for i := range requests {
		text := make([]byte, 64<<10)
		_, _ = noise.Read(text)
		put(t, st, "R", numbered(t, i, 1, hex.EncodeToString(text)))
	}
	if err := st.EnforceCaps(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Drain(soon(t))
	if got := f.Close(); got.Removed == 0 || got.Removed+got.Waiting != requests || got.Sent != 0 {
		t.Errorf("%+v", got)
	}
}

var protocols = []string{endpoint.GRPC, endpoint.HTTP, endpoint.JSON}

// distinct counts the different spans.
func distinct(spans []forkspantest.Span) int {
	seen := make(map[string]bool)
	for _, s := range spans {
		seen[string(s.GetSpanId())] = true
	}
	return len(seen)
}

// What was stored before and what comes meanwhile is sent once; a second forwarder has nothing to do.
func TestForward(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			c, st := forkspantest.NewCollector(t), openStore(t)
			n := fill(t, st, "R", 0, 150, 3)
			fill(t, st, "other", 9000, 2, 2)
			f := openTo(t, st, backendOf(t, c, protocol, "COMPRESSION=gzip"), Options{})
			for i := range 20 {
				n += fill(t, st, "R", 1000+i, 1, 1)
				f.Wake()
			}
			if got := f.Drain(waiting(t)); got.Sent != int64(n) || got.Waiting != 0 || got.Reason != "" {
				t.Errorf("%+v, want %d sent", got, n)
			}
			f.Close()
			if spans := c.Spans(); len(spans) != n || distinct(spans) != n {
				t.Errorf("%d spans arrived, %d of them different, want %d", len(spans), distinct(spans), n)
			}
			f = openTo(t, st, backendOf(t, c, protocol), Options{})
			if got := f.Drain(waiting(t)); got != (Stats{}) {
				t.Errorf("again: %+v", got)
			}
			f.Close()
		})
	}
}

// A backend that is busy, rejects some, or is not there.
func TestAnswersOfBackends(t *testing.T) {
	tests := []struct {
		name    string
		answers []forkspantest.Answer
		want    Stats
		arrived int
		dead    int
	}{
		{"busy", []forkspantest.Answer{{Status: 503}, {Status: 429}}, Stats{Sent: 8}, 8, 0},
		{"codes", []forkspantest.Answer{{Code: codes.Unavailable}, {Code: codes.ResourceExhausted}}, Stats{Sent: 8}, 8, 0},
		{"partial success", []forkspantest.Answer{{Rejected: 3, Message: "too old"}}, Stats{Sent: 5, Rejected: 3, Reason: "rejected: too old"}, 5, 0},
		{"warning", []forkspantest.Answer{{Message: "take care"}}, Stats{Sent: 8}, 8, 0},
		{"garbage", []forkspantest.Answer{{Garbage: []byte("\xff\xff")}}, Stats{Sent: 8}, 8, 0},
		{"bad request", []forkspantest.Answer{{Status: 400, Message: "no good"}}, Stats{Dead: 8}, 0, 8},
	}
	for _, protocol := range protocols {
		for _, tt := range tests {
			t.Run(protocol+" "+tt.name, func(t *testing.T) {
				c, st := forkspantest.NewCollector(t), openStore(t)
				c.Answer(tt.answers...)
				fill(t, st, "R", 0, 1, 8)
				f := openTo(t, st, backendOf(t, c, protocol), Options{})
				got := f.Drain(waiting(t))
				f.Close()
				if got.Sent != tt.want.Sent || got.Rejected != tt.want.Rejected || got.Dead != tt.want.Dead || got.Waiting != 0 {
					t.Errorf("got %+v, want %+v", got, tt.want)
				}
				if tt.want.Reason != "" && got.Reason != tt.want.Reason {
					t.Errorf("reason %q", got.Reason)
				}
				if n := len(c.Spans()); n != tt.arrived {
					t.Errorf("%d spans arrived", n)
				}
				letters, err := st.DeadLetters(t.Context(), 0, 0)
				if err != nil || len(letters) != min(tt.dead, 1) || tt.dead > 0 && !strings.Contains(letters[0].Reason, "no good") {
					t.Errorf("dead letters %+v, %v", letters, err)
				}
				if requests := len(c.Requests()); requests != len(tt.answers)+btoi(tt.name == "busy" || tt.name == "codes") {
					t.Errorf("%d requests", requests)
				}
			})
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// A wrong token: one line, what was tried becomes a dead letter and the rest waits; with the right one all is sent.
func TestWrongToken(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			c, st := forkspantest.NewCollector(t), openStore(t)
			n := fill(t, st, "R", 0, 100, 2)
			c.AnswerAll(forkspantest.Answer{Status: 401})
			var lines []string
			f := openTo(t, st, backendOf(t, c, protocol), Options{Notify: func(m string) { lines = append(lines, m) }})
			got := f.Drain(waiting(t))
			f.Close()
			if len(lines) != 1 || !strings.Contains(lines[0], "401") && !strings.Contains(lines[0], "Unauthenticated") {
				t.Errorf("lines %q", lines)
			}
			if got.Dead == 0 || got.Dead > 2*senders || got.Dead+got.Waiting != int64(n) || len(c.Requests()) > senders {
				t.Errorf("%+v after %d requests", got, len(c.Requests()))
			}
			c.AnswerAll(forkspantest.Answer{})
			f = openTo(t, st, backendOf(t, c, protocol), Options{})
			got = f.Drain(waiting(t))
			f.Close()
			if got.Sent != int64(n) || got.Waiting != 0 || distinct(c.Spans()) != n || len(c.Spans()) != n {
				t.Errorf("with the right one: %+v, %d arrived", got, len(c.Spans()))
			}
			if letters, err := st.DeadLetters(t.Context(), 0, 0); err != nil || len(letters) != 0 {
				t.Errorf("%d dead letters are left, %v", len(letters), err)
			}
		})
	}
}

// Dead letters can be sent again; those that are refused again stay, and none is doubled.
func TestDeadLettersAgain(t *testing.T) {
	c, st := forkspantest.NewCollector(t), openStore(t)
	n := fill(t, st, "R", 0, 6, 2)
	c.Answer(forkspantest.Answer{Status: 400}, forkspantest.Answer{Status: 400}, forkspantest.Answer{Status: 400})
	b := backendOf(t, c, endpoint.HTTP)
	for _, step := range []struct {
		answers []forkspantest.Answer
		dead    bool
		arrived int
		left    int
	}{
		{nil, false, n - 6, 3},
		{nil, false, n - 6, 3},
		{[]forkspantest.Answer{{Status: 422}}, true, n - 2, 1},
		{nil, true, n, 0},
	} {
		c.Answer(step.answers...)
		f := openTo(t, st, b, Options{Dead: step.dead})
		f.Drain(waiting(t))
		f.Close()
		letters, err := st.DeadLetters(t.Context(), 0, 0)
		if err != nil || len(letters) != step.left || distinct(c.Spans()) != step.arrived || len(c.Spans()) != step.arrived {
			t.Errorf("%d dead letters, %d spans arrived, %v; want %+v", len(letters), len(c.Spans()), err, step)
		}
	}
}

// What cannot be sent waits: a black hole, nobody there, a certificate that is not trusted. A drain has its time and no more.
func TestWaits(t *testing.T) {
	hole := forkspantest.BlackHole(t)
	secure := forkspantest.NewCollector(t, forkspantest.WithTLS())
	for name, to := range map[string]string{"black hole": "http://" + hole, "nobody": "http://127.0.0.1:9", "wrong TLS": secure.Endpoint()} {
		for _, protocol := range protocols {
			t.Run(name+" "+protocol, func(t *testing.T) {
				st := openStore(t)
				n := fill(t, st, "R", 0, 5, 2)
				b, err := FromEnviron(environment("ENDPOINT="+to, "PROTOCOL="+protocol))
				if err != nil {
					t.Fatal(err)
				}
				f := openTo(t, st, b, Options{})
				f.Drain(soon(t))
				if got := f.Close(); got.Waiting != int64(n) || got.Sent != 0 || got.Dead != 0 {
					t.Errorf("%+v", got)
				}
				if routes, err := st.WaitingRoutes(t.Context()); err != nil || len(routes) != 1 {
					t.Errorf("%+v, %v", routes, err)
				}
			})
		}
	}
}

// A run is sent to a target by one forwarder at a time.
func TestOneAtATime(t *testing.T) {
	c, st := forkspantest.NewCollector(t), openStore(t)
	b := backendOf(t, c, endpoint.HTTP)
	f := openTo(t, st, b, Options{})
	if _, err := Open(t.Context(), st, b, Options{Run: "R"}); !errors.Is(err, ErrBusy) {
		t.Errorf("a second one: %v", err)
	}
	openTo(t, st, b, Options{Run: "S"}).Close()
	f.Close()
	openTo(t, st, b, Options{}).Close()
	if files, err := filepath.Glob(st.Path() + ".forward*"); err != nil || len(files) != 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

// A run that is reserved is nobody else's, and leaves nothing when it does not come about.
func TestReserve(t *testing.T) {
	c, st := forkspantest.NewCollector(t), openStore(t)
	b := backendOf(t, c, endpoint.HTTP)
	var reserved [2]*Reservation
	for i, run := range []string{"R", "S"} {
		var err error
		if reserved[i], err = Reserve(t.Context(), st, b, run, Settings{}); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), st, b, Options{Run: run}); !errors.Is(err, ErrBusy) {
			t.Errorf("somebody else: %v", err)
		}
	}
	n := fill(t, st, "R", 0, 3, 1)
	f := openTo(t, st, b, Options{Reserved: reserved[0]})
	if got := f.Drain(waiting(t)); got.Sent != int64(n) {
		t.Errorf("%+v", got)
	}
	f.Close()
	if err := reserved[1].Release(t.Context()); err != nil {
		t.Error(err)
	}
	if routes, err := st.Routes(t.Context()); err != nil || len(routes) != 1 {
		t.Errorf("%+v, %v", routes, err)
	}
	if files, err := filepath.Glob(st.Path() + ".forward*"); err != nil || len(files) != 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

// What is removed from the store before it was sent is counted.
func TestRemovedIsCounted(t *testing.T) {
	c, st := forkspantest.NewCollector(t), openStore(t)
	b := backendOf(t, c, endpoint.HTTP)
	if err := st.PutRun(t.Context(), store.Run{ID: "R"}); err != nil {
		t.Fatal(err)
	}
	fill(t, st, "R", 0, 3, 1)
	f := openTo(t, st, b, Options{})
	f.Drain(waiting(t))
	f.Close()
	fill(t, st, "R", 10, 4, 1)
	if err := st.Remove(t.Context(), "R"); err != nil {
		t.Fatal(err)
	}
	routes, err := st.Routes(t.Context())
	if err != nil || len(routes) != 1 || routes[0].Removed != 4 || routes[0].Sent != 3 {
		t.Errorf("%+v, %v", routes, err)
	}
}

// Unfinished spans are sent at the end of the run where that is wanted, once, ended at the last sign of life of their process;
// never those whose end came.
func TestUnfinishedSpans(t *testing.T) {
	span := func(id byte, start, end uint64) *trace.Span {
		return &trace.Span{
			TraceId: []byte("0123456789abcdef"), SpanId: []byte{7: id}, Name: "s", StartTimeUnixNano: start, EndTimeUnixNano: end,
		}
	}
	request := func(process string, spans ...*trace.Span) []byte {
		body, err := proto.Marshal(&trace.TracesData{ResourceSpans: []*trace.ResourceSpans{{
			Resource:   &resource.Resource{Attributes: []*common.KeyValue{text("service.instance.id", process)}},
			ScopeSpans: []*trace.ScopeSpans{{Spans: spans}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	for _, wanted := range []bool{false, true} {
		c, st := forkspantest.NewCollector(t), openStore(t)
		put(t, st, "R", request("a", span(1, 10, 0), span(2, 11, 0)))
		put(t, st, "R", request("a", span(1, 10, 20), span(3, 12, 0)))
		put(t, st, "R", request("b", span(4, 13, 50)))
		f := openTo(t, st, backendOf(t, c, endpoint.HTTP), Options{Settings: Settings{Unfinished: wanted}})
		if got := f.Drain(waiting(t)); got.Sent != 2 {
			t.Errorf("before the end: %+v", got)
		}
		f.Finish(true)
		f.Drain(waiting(t))
		f.Close()
		routes, err := st.Routes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f, err = Resume(t.Context(), st, routes[0], nil, Options{})
		if err != nil {
			t.Fatal(err)
		}
		f.Drain(waiting(t))
		f.Close()
		ends := map[byte]uint64{}
		for _, s := range c.Spans() {
			id := s.GetSpanId()[7]
			if ends[id] != 0 {
				t.Errorf("span %d came twice", id)
			}
			ends[id] = s.GetEndTimeUnixNano()
			if unfinished := id == 2 || id == 3; unfinished != (len(s.GetAttributes()) == 1) {
				t.Errorf("span %d: %v", id, s.GetAttributes())
			}
		}
		want := map[byte]uint64{1: 20, 4: 50}
		if wanted {
			want[2], want[3] = 20, 20
		}
		if !maps.Equal(ends, want) {
			t.Errorf("wanted %v: ends %v, want %v", wanted, ends, want)
		}
	}
}
