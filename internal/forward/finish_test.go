package forward

import (
	"testing"
	"time"

	"forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/endpoint"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/proctree"
	"forkspan.dev/forkspan/internal/store"
)

// putTree stores a run of n processes beside its command, the last of which goes on, and returns the command's span.
func putTree(t *testing.T, st *store.Store, n int) commandspan.Span {
	t.Helper()
	at := time.Unix(1_700_000_000, 0)
	command := commandspan.Span{
		TraceID: otlp.TraceID{1}, SpanID: otlp.SpanID{2}, Sampled: true, Name: "make", Start: at.UnixNano(), End: at.Add(time.Hour).UnixNano(),
	}
	root := proctree.ID{PID: 1, Start: 1}
	tree := []store.Process{{Process: proctree.Process{ID: root, Program: "make", Started: at}}}
	for i := range n {
		p := proctree.Process{ID: proctree.ID{PID: 2 + i, Start: uint64(2 + i)}, Parent: root, Program: "cc", Started: at}
		if i < n-1 {
			p.Ended, p.Exited = at.Add(time.Minute), true
		}
		tree = append(tree, store.Process{Process: p})
	}
	run := store.Run{ID: "R", Kind: "run", Name: "make", TraceID: command.TraceID, SpanID: command.SpanID, Start: at}
	if err := st.PutTree(t.Context(), run, tree); err != nil {
		t.Fatal(err)
	}
	put(t, st, "R", commandspan.Encode(commandspan.Resource(func(string) (string, bool) { return "", false }, "make", "R"), "v1", command))
	return command
}

// The spans of processes are sent at the end of the run, each once, though the backend goes away between two requests of them and
// another forkspan goes on; of a process that has no end, only where unfinished spans are wanted.
func TestProcessSpans(t *testing.T) {
	const n = 600 // two requests
	for _, unfinished := range []bool{false, true} {
		c, st := forkspantest.NewCollector(t), openStore(t)
		command := putTree(t, st, n)
		f := openTo(t, st, backendOf(t, c, endpoint.HTTP), Options{Settings: Settings{Processes: true, Unfinished: unfinished}})
		if got := f.Drain(waiting(t)); got.Sent != 1 {
			t.Errorf("before the end: %+v", got)
		}
		c.Answer(forkspantest.Answer{}, forkspantest.Answer{Status: 503, RetryAfter: time.Hour})
		f.Finish(true)
		if got := f.Drain(waiting(t)); !got.Unended || got.Sent == 1 || got.Waiting == 0 || got.Sent+got.Waiting != n+int64(btoi(unfinished)) {
			t.Errorf("while the backend goes away: %+v", got)
		}
		f.Close()
		Background(waiting(t), st, nil, nil)
		for range 2 { // nothing is left for those that come later
			if routes, err := st.WaitingRoutes(t.Context()); err != nil || len(routes) != 0 {
				t.Errorf("waiting: %+v, %v", routes, err)
			}
			Background(waiting(t), st, nil, nil)
		}
		spans := c.Spans()
		if want := n + btoi(unfinished); len(spans) != want || distinct(spans) != want {
			t.Errorf("%d spans, %d of them different, want %d", len(spans), distinct(spans), want)
		}
		ongoing := 0
		for _, s := range spans {
			if s.GetName() != "cc" {
				continue
			}
			if string(s.GetParentSpanId()) != string(command.SpanID[:]) || s.GetStatus().GetMessage() != "" {
				t.Fatalf("%v", s)
			}
			if interrupted, _ := s.Attribute("forkspan.unfinished"); interrupted == true && s.GetEndTimeUnixNano() == uint64(command.End) {
				ongoing++
			}
		}
		if ongoing != btoi(unfinished) {
			t.Errorf("%d go on", ongoing)
		}
	}
}

// A forkspan that is killed after it has sent all there was leaves what goes out at the end.
func TestProcessSpansOfKilled(t *testing.T) {
	c, st := forkspantest.NewCollector(t), openStore(t)
	putTree(t, st, 3)
	f := openTo(t, st, backendOf(t, c, endpoint.GRPC), Options{Settings: Settings{Processes: true}})
	f.Drain(waiting(t))
	f.Close() // and no Finish
	if got := len(c.Spans()); got != 1 {
		t.Fatalf("%d spans before", got)
	}
	Background(waiting(t), st, nil, nil)
	if got := len(c.Spans()); got != 3 {
		t.Errorf("%d spans, want the command's and those of two processes", got)
	}
}

// Where a run went on in another store, that one's forwarder sends the spans of the processes.
func TestProcessSpansOfHalf(t *testing.T) {
	c, st := forkspantest.NewCollector(t), openStore(t)
	putTree(t, st, 3)
	f := openTo(t, st, backendOf(t, c, endpoint.GRPC), Options{Settings: Settings{Processes: true}})
	f.Finish(false)
	if got := f.Drain(waiting(t)); got.Sent != 1 || got.Unended {
		t.Errorf("%+v", got)
	}
	f.Close()
	if routes, err := st.WaitingRoutes(t.Context()); err != nil || len(routes) != 0 {
		t.Errorf("waiting: %+v, %v", routes, err)
	}
}
