package genai

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"
)

// summary writes down all that a recording found.
func summary(r *Request) string {
	c, m := r.Call(), r.Marks()
	var gaps []time.Duration
	for g := range m.Gaps.All() {
		gaps = append(gaps, g)
	}
	return fmt.Sprintln(index(m.FirstEvent), index(m.FirstToken), index(m.FirstText), index(m.LastToken), m.Gaps.Len(),
		gaps,
		c.ResponseID, c.ResponseModel, c.Provider, c.FinishReasons, c.Usage, c.ErrorType, c.Unparsed, c.Latency.Decode)
}

// collected is a sink that keeps what it is given.
type collected struct {
	events []string
	large  int
}

func (c *collected) event(name, data []byte) {
	c.events = append(c.events, string(name)+"|"+string(data))
}
func (c *collected) tooLarge() { c.large++ }

// reference splits an event stream as the HTML standard says it, in one go and with no regard for speed.
func reference(body string) (events []string) {
	body = strings.TrimPrefix(body, "\uFEFF")
	lines := regexp.MustCompile("\r\n|\r|\n").Split(body, -1)
	if lines[len(lines)-1] != "" {
		lines = append(lines, "") // the last line lacks its end
	}
	name, data := "", []string(nil)
	for _, line := range append(lines, "") {
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if text := strings.Join(data, "\n"); text != "" {
				events = append(events, name+"|"+text)
			}
			name, data = "", nil
		case field == "event":
			name = value[:min(len(value), maxWord)]
		case field == "data":
			data = append(data, value)
		case field == "error":
			name, data = "error", append(data, value)
		}
	}
	return events
}

var streams = []string{
	"data: a\n\ndata: b\n\n", "data: a\r\n\r\ndata: b\r\n\r\n", "data: a\r\rdata: b\r\r", "data: a\n\r\ndata: b\r\n\n",
	"\uFEFFdata: a\n\n", "\xEF\xBBdata: a\n\n", ":comment\ndata: a\n:more\ndata:b\n\n", "data\n\n", "data:\n\n",
	"data:\ndata: x\n\n",
	"event: e\ndata: {\"a\":\n data\ndata: 1}\nid: 7\nretry: 5\n\n", "data: no end", "data: no end\n",
	"event: e\n\ndata: a\n\n",
	"event: e\r\ndata: a\r\ndata: b\r\n\r\n", "event: e\rdata: a\rdata: b\r\r", "error: {}\n\n", "data: \xc3\xa9\u20ac\n\n", "\n\n\n", "data:  two\n\n", "",
}

func checkSplit(t *testing.T, body string, seed uint64) {
	t.Helper()
	want := reference(body)
	random := rand.New(rand.NewPCG(seed, 1))
	for _, most := range []int{1 << 20, 1, 7} {
		got := &collected{}
		s := sse{max: 1 << 20}
		for rest := []byte(body); len(rest) > 0; {
			n := min(len(rest), 1+random.IntN(most))
			if most == 1<<20 {
				n = len(rest)
			}
			s.feed(rest[:n], got)
			rest = rest[n:]
		}
		s.close(got)
		if fmt.Sprint(got.events) != fmt.Sprint(want) || got.large != 0 {
			t.Fatalf("%q in pieces of %d at most: got %q, want %q", body, most, got.events, want)
		}
	}
}

func TestEventStream(t *testing.T) {
	for _, s := range streams {
		checkSplit(t, s, 1)
	}
}

func FuzzEventStream(f *testing.F) {
	for _, s := range streams {
		f.Add(s, uint64(1))
	}
	f.Fuzz(checkSplit)
}

// TestBoundsDoNotDependOnSplitting holds events of all sizes around the bound against it, in one piece and in many.
func TestBoundsDoNotDependOnSplitting(t *testing.T) {
	const bound = 64
	for size := bound - 10; size < bound+10; size++ {
		for _, body := range []string{
			"data: " + strings.Repeat("x", size) + "\n\ndata: y\n\n",
			"data: " + strings.Repeat("x", size/2) + "\ndata: " + strings.Repeat("x", size-size/2) + "\n\ndata: y\n\n",
			":" + strings.Repeat("x", size) + "\ndata: y\n\n",
		} {
			whole, pieces := &collected{}, &collected{}
			s := sse{max: bound}
			s.feed([]byte(body), whole)
			s = sse{max: bound}
			for i := range body {
				s.feed([]byte(body[i:i+1]), pieces)
			}
			if fmt.Sprint(whole) != fmt.Sprint(pieces) || whole.events[len(whole.events)-1] != "|y" {
				t.Errorf("size %d: %v and %v", size, whole, pieces)
			}
		}
	}
}

// TestAnySplit plays each capture and each stream made by hand in one piece, byte by byte, and with other line ends.
func TestAnySplit(t *testing.T) {
	tracers := noop.NewTracerProvider()
	rec := NewRecorder(WithTracerProvider(tracers))
	play := func(x exchange, body []byte, size int) string {
		r := rec.NewRequest(context.Background(), RequestInfo{Method: "POST", Path: x.path, Body: x.request,
			Received: epoch})
		r.ResponseHeader(x.status, x.header, at(1))
		for len(body) > 0 {
			n := min(size, len(body))
			r.Chunk(body[:n], at(2))
			body = body[n:]
		}
		r.EndAt(nil, at(3))
		return summary(r)
	}
	var all []exchange
	for _, c := range captures {
		all = append(all, capture(t, c.file))
	}
	for _, h := range handmade {
		all = append(all, h.x)
	}
	for _, x := range all {
		want := play(x, x.body, 1<<20)
		for _, size := range []int{1, 2, 3, 7, 64} {
			if got := play(x, x.body, size); got != want {
				t.Errorf("%s in pieces of %d: got %s, want %s", x.path, size, got, want)
			}
		}
		for _, end := range []string{"\r\n", "\r"} {
			if x.header.Get("Content-Type") == "application/json" {
				continue
			}
			if got := play(x, bytes.ReplaceAll(x.body, []byte("\n"), []byte(end)), 5); got != want {
				t.Errorf("%s with line end %q: got %s, want %s", x.path, end, got, want)
			}
		}
	}
}

func TestLargeEvent(t *testing.T) {
	big, err := json.Marshal(strings.Repeat("a\"é", 400_000))
	if err != nil {
		t.Fatal(err)
	}
	body := sseBody(chatDelta("0", `{"content":`+string(big)+`}`, "null"), chatDelta("0", `{"content":"b"}`, `"stop"`),
		"[DONE]")
	x := stream(chatPath, `{}`, body)
	if len(big) < 1<<20 {
		t.Fatal("not large")
	}
	chunks := func() (l [][]byte) {
		for b := x.body; len(b) > 0; b = b[min(len(b), 32<<10):] {
			l = append(l, b[:min(len(b), 32<<10)])
		}
		return l
	}()
	r := newRecording(t).play(x, chunks, nil)
	if c, m := r.Call(), r.Marks(); c.Unparsed != 0 || m.Gaps.Len() != 1 || index(m.FirstToken) != len(chunks)-1 {
		t.Errorf("unparsed %d, gaps %d, first token %d", c.Unparsed, m.Gaps.Len(), index(m.FirstToken))
	}
	r = newRecording(t, WithMaxEvent(1<<20)).play(x, chunks, nil)
	if c, m := r.Call(), r.Marks(); c.Unparsed != 1 || m.Gaps.Len() != 0 || c.ErrorType != "" ||
		c.FinishReasons[0] != "stop" {
		t.Errorf("beyond the bound: unparsed %d, gaps %d, error %q", c.Unparsed, m.Gaps.Len(), c.ErrorType)
	}
}

// FuzzAnswer plays any bytes as an answer of any form, in one piece and in many: what is found must be the same.
func FuzzAnswer(f *testing.F) {
	rec := NewRecorder(WithTracerProvider(noop.NewTracerProvider()), WithMaxEvent(1<<10))
	types := []string{"text/event-stream", "application/x-ndjson", "application/json", ""}
	for i := range types {
		for _, h := range handmade {
			f.Add(h.x.body, uint8(i), uint64(1), false)
		}
		f.Add([]byte(ollamaChat), uint8(i), uint64(2), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, mediaType uint8, seed uint64, coded bool) {
		header := http.Header{"Content-Type": {types[int(mediaType)%len(types)]}}
		if coded {
			header.Set("Content-Encoding", "gzip")
			body = frames(t, [][]byte{body})[0]
		}
		random := rand.New(rand.NewPCG(seed, 2))
		play := func(most int) string {
			r := rec.NewRequest(context.Background(), RequestInfo{Method: "POST", Path: "/api/chat", Received: epoch})
			r.ResponseHeader(200, header, at(1))
			for rest := body; len(rest) > 0; {
				n := len(rest)
				if most > 0 {
					n = min(n, 1+random.IntN(most))
				}
				r.Chunk(rest[:n], at(2))
				rest = rest[n:]
			}
			r.EndAt(nil, at(3))
			return summary(r)
		}
		want := play(0)
		for _, most := range []int{1, 9} {
			if got := play(most); got != want {
				t.Fatalf("%q in pieces of %d at most: got %s, want %s", body, most, got, want)
			}
		}
	})
}

// TestChunkAllocations holds the budget of two allocations a chunk; growing lists are part of it.
func TestChunkAllocations(t *testing.T) {
	rec := newRecording(t)
	r := rec.begin(stream(chatPath, `{"model":"m","stream":true}`, ""))
	chunk := []byte(sseBody(chatDelta("0", `{"content":"a"}`, "null")))
	n := 0
	if allocs := testing.AllocsPerRun(500, func() { r.Chunk(chunk, at(n)); n++ }); allocs > 2 {
		t.Errorf("%v allocations a chunk", allocs)
	}
	r.End(ErrClientGone)
}
